//! The verbs with which the log changes a disk. Nothing else in this module writes, renames or syncs files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::open_files::OPEN_FILES;

/// Running out of descriptors is no fault of the disk: files that are only kept open make room.
fn opened(options: &OpenOptions, path: &Path) -> io::Result<File> {
    OPEN_FILES.with_room(|| options.open(path))
}

/// Opens a file or directory for reading.
pub fn open_to_read(path: &Path) -> io::Result<File> {
    opened(OpenOptions::new().read(true), path)
}

/// Brings everything of a file system to the disk, and tells of every write to it that failed since `file` was opened.
/// (The latter from Linux 5.8 on.)
pub fn sync_file_system(file: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

/// Opens a file for reading and writing; it must exist.
pub fn open(path: &Path) -> io::Result<File> {
    opened(OpenOptions::new().read(true).write(true), path)
}

/// Creates a file, or empties the one that is there.
pub fn create(path: &Path) -> io::Result<File> {
    crash::point()?;
    opened(OpenOptions::new().read(true).write(true).create(true).truncate(true), path)
}

/// Writes all slices one after the other at `position`; one system call unless the kernel takes less.
pub fn write_all_at(file: &File, slices: &mut [IoSlice<'_>], mut position: u64) -> io::Result<()> {
    crash::point()?;
    let mut slices = slices;
    while !slices.is_empty() {
        match rustix::io::pwritev(file, slices, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                position += written as u64;
                IoSlice::advance_slices(&mut slices, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reserves room for `len` bytes without making the file longer. A file system that cannot is no error.
pub fn reserve(file: &File, len: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, len) {
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        reserved => Ok(reserved?),
    }
}

/// Reads up to `buffer.len()` bytes at `position`; fewer only at the end of the file.
pub fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Adds bytes at the end of a file, which is created if it is not there.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    crash::point()?;
    opened(OpenOptions::new().create(true).append(true), path)?.write_all(bytes)
}

/// Cuts a file; a file that is not there stays so.
pub fn truncate(path: &Path, len: u64) -> io::Result<()> {
    crash::point()?;
    match opened(OpenOptions::new().write(true), path) {
        Ok(file) => file.set_len(len),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Sets when a file was last modified.
pub fn set_modified(path: &Path, time: SystemTime) -> io::Result<()> {
    crash::point()?;
    opened(OpenOptions::new().write(true), path)?.set_modified(time)
}

/// Brings a file's bytes to the disk; a file that is not there is fine.
pub fn sync(path: &Path) -> io::Result<()> {
    crash::point()?;
    match open_to_read(path) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Brings a directory's entries to the disk.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    crash::point()?;
    open_to_read(path)?.sync_all()
}

/// Replaces a file so that a crash leaves the old or the new one: temporary file, sync, rename, sync of the directory.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put_in_place(path, bytes)?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// As [`replace`], but the directory is left to be synced.
pub fn put_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    crash::point()?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    crash::point()?;
    fs::rename(&temporary, path)
}

/// Renames; a file that is not there is fine.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    crash::point()?;
    missing_is_fine(fs::rename(from, to))
}

/// Deletes a file; a file that is not there is fine.
pub fn remove(path: &Path) -> io::Result<()> {
    crash::point()?;
    missing_is_fine(fs::remove_file(path))
}

/// Deletes a directory with all that is in it.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    crash::point()?;
    missing_is_fine(fs::remove_dir_all(path))
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// In unit tests the process can seem to die before any change of the disk: that one and all later ones fail.
#[cfg(test)]
pub mod crash {
    use std::cell::Cell;
    use std::io;

    thread_local!(static LEFT: Cell<Option<usize>> = const { Cell::new(None) });

    /// Changes of this thread that still succeed; `None`: all.
    pub fn after(changes: Option<usize>) {
        LEFT.set(changes);
    }

    pub fn point() -> io::Result<()> {
        match LEFT.get() {
            Some(0) => Err(io::Error::other("crashed by a test")),
            left => {
                LEFT.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }
}

#[cfg(not(test))]
mod crash {
    pub fn point() -> std::io::Result<()> {
        Ok(())
    }
}
