//! `barnabas zk`: looks at the znodes of a cluster.

use anyhow::{Context, bail};

use crate::zk::remote::{Client, Options as Session};
use crate::zk::schema::{Schema, Tree, check_tree, read_tree};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the znodes, and mark those that do not read
    Inspect {
        #[command(flatten)]
        ensemble: Ensemble,
        /// Only this znode and those below it
        #[arg(default_value = "/")]
        path: String,
    },
    /// Compare the znodes with zk-schema; status 1 if something is not as it should be
    Check {
        #[command(flatten)]
        ensemble: Ensemble,
    },
}

#[derive(Debug, clap::Args)]
pub struct Ensemble {
    /// As zookeeper.connect: HOST:PORT,...[/CHROOT]
    #[arg(long)]
    zookeeper: String,
    /// How long to wait for a server, in ms
    #[arg(long, default_value_t = 10_000)]
    timeout_ms: u32,
}

/// Runs the command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    let schema = Schema::load()?;
    match command {
        Command::Inspect { ensemble, path } => {
            let tree = read(&ensemble, &path).await?;
            if tree.is_empty() {
                bail!("there is no znode below {path}");
            }
            let lines = describe(&schema, &tree).into_iter().map(|(path, line)| format!("{path}{line}\n"));
            super::print(&lines.collect::<String>())
        }
        Command::Check { ensemble } => {
            let tree = read(&ensemble, "/").await?;
            if tree.is_empty() {
                bail!("there are no znodes; is the chroot right?");
            }
            let findings = check_tree(&schema, &tree);
            super::print(&findings.iter().map(|finding| format!("{finding}\n")).collect::<String>())?;
            if !findings.is_empty() {
                bail!("{} of {} znodes are not as they should be", findings.len(), tree.len());
            }
            super::print(&format!("{} znodes, all as they should be\n", tree.len()))
        }
    }
}

async fn read(ensemble: &Ensemble, path: &str) -> anyhow::Result<Tree> {
    let session = Session {
        connection_timeout_ms: ensemble.timeout_ms,
        // A reader of the whole tree is better off with a long pipeline.
        max_in_flight: 100,
        create_chroot: false,
        ..Session::new(ensemble.zookeeper.parse()?)
    };
    let (zk, _events) = Client::connect(session).await?;
    let tree = read_tree(&zk, path).await.with_context(|| format!("{path} cannot be read"));
    zk.close().await;
    tree
}

/// One line for each znode: path, and version, owner and content as far as it has them.
fn describe<'a>(schema: &Schema, tree: &'a Tree) -> Vec<(&'a str, String)> {
    let describe = |(path, node): (&'a String, _)| {
        let node: &crate::zk::schema::Znode = node;
        let mut line = String::new();
        if node.version != 0 {
            line.push_str(&format!("  v{}", node.version));
        }
        if node.ephemeral_owner != 0 {
            line.push_str(&format!("  ephemeral of {:#x}", node.ephemeral_owner));
        }
        let data = node.data.as_deref().unwrap_or_default();
        match schema.find(path).map(|entry| entry.content.check(data)) {
            Some(Ok(())) => {}
            Some(Err(error)) => line.push_str(&format!("  ?? {error}")),
            None => line.push_str("  ?? no znode of Kafka"),
        }
        if !data.is_empty() {
            line.push_str("  ");
            line.push_str(&String::from_utf8_lossy(data));
        }
        (path.as_str(), line)
    };
    tree.iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zk::schema::Znode;

    #[test]
    fn znodes_are_described_in_one_line() {
        let node = |data: &'static str| Znode {
            data: Some(data.into()),
            version: 3,
            ephemeral_owner: 255,
            ..Znode::default()
        };
        let tree = Tree::from([
            ("/controller_epoch".to_owned(), node("7")),
            ("/brokers".to_owned(), Znode::default()),
            ("/x".to_owned(), node("y")),
        ]);
        let lines = describe(&Schema::load().unwrap(), &tree);
        let shown: Vec<_> = lines.iter().map(|(path, line)| format!("{path}{line}")).collect();
        assert_eq!(
            shown,
            [
                "/brokers",
                "/controller_epoch  v3  ephemeral of 0xff  7",
                "/x  v3  ephemeral of 0xff  ?? no znode of Kafka  y"
            ]
        );
    }
}
