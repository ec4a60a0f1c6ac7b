//! Three real Apache ZooKeeper servers for `quickstart --ensemble`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::process::{Child, free_port};

/// Where Debian's package `zookeeper` and its dependencies put their jars.
const DEBIAN_JARS: &str = "/usr/share/java";
const MAIN: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";

/// Starts the servers and returns their connect string once each accepts connections.
pub async fn start(directory: &Path, libs: Option<&Path>, children: &mut Vec<Child>) -> anyhow::Result<String> {
    let class_path = class_path(libs)?;
    let java = find_java()?;
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push((free_port()?, free_port()?, free_port()?));
    }
    let quorum: String = servers
        .iter()
        .enumerate()
        .map(|(n, (_, peer, election))| format!("server.{}=127.0.0.1:{peer}:{election}\n", n + 1))
        .collect();
    for (n, (port, _, _)) in servers.iter().enumerate() {
        let home = directory.join(format!("zookeeper-{}", n + 1));
        std::fs::create_dir_all(home.join("data"))?;
        std::fs::write(home.join("data/myid"), format!("{}", n + 1))?;
        let config = home.join("zoo.cfg");
        let text = format!(
            "tickTime=1000\ninitLimit=20\nsyncLimit=10\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\n{quorum}",
            home.join("data").display()
        );
        std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let config = config.to_string_lossy();
        let name = format!("zookeeper {}", n + 1);
        children.push(Child::start_program(&name, directory, &java, &["-Xmx256m", "-cp", &class_path, MAIN, &config])?);
    }
    for (n, (port, _, _)) in servers.iter().enumerate() {
        let at = children.len() - 3 + n;
        children[at].wait_until_listening(*port).await?;
    }
    Ok(servers.iter().map(|(port, _, _)| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(","))
}

fn class_path(libs: Option<&Path>) -> anyhow::Result<String> {
    let has_zookeeper = |directory: &Path| {
        std::fs::read_dir(directory).is_ok_and(|mut entries| {
            entries.any(|e| e.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("zookeeper")))
        })
    };
    for directory in libs.into_iter().map(Path::to_owned).chain([PathBuf::from(DEBIAN_JARS)]) {
        if has_zookeeper(&directory) {
            return Ok(format!("{}/*", directory.display()));
        }
    }
    bail!(
        "no Apache ZooKeeper found. Install Debian's package (apt-get install zookeeper), or give the directory of its \
         jars with --zookeeper-libs"
    )
}

fn find_java() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join("java"))
        .find(|java| java.is_file())
        .context("no java found. Install it (apt-get install default-jre-headless)")
}
