//! Queries of tokio-postgres to a PostgreSQL that the test starts, where there is one.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::fixture::{Fixture, LIMIT, assert_child, runtime, tags};

#[test]
fn queries_become_spans_without_their_values() {
    let Some(server) = PostgreSql::start() else {
        println!("left out: there is no PostgreSQL");
        return;
    };
    let fixture = Fixture::new();
    runtime().block_on(async {
        let postgres = server.connect().await;
        let order = fixture.client.trace("order").detach();
        datadog::FutureExt::in_span(queries(&fixture, postgres), order).await;
    });

    let spans = fixture.spans(9);
    let order = spans.iter().find(|span| span.name == "order").unwrap();
    let mut queries: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "postgresql.query")
        .collect();
    queries.sort_by_key(|span| span.start_ns);
    let expected = [
        (
            "CREATE TABLE buyers ( id int PRIMARY KEY, name text )",
            "-",
            "-",
        ),
        ("INSERT INTO buyers VALUES ( ? )", "-", "2"),
        ("SELECT name FROM buyers WHERE id = ?", "1", "-"),
        ("SELECT name FROM buyers WHERE id > ?", "2", "-"),
        ("SELECT name FROM buyers WHERE name = ?", "0", "-"),
        ("SELECT name FROM buyers", "-", "-"),
        ("DELETE FROM buyers", "-", "2"),
        ("INSERT INTO buyers VALUES ( ? )", "-", "-"),
    ];
    let found: Vec<_> = queries
        .iter()
        .map(|span| {
            let [rows, affected] = tags(span, ["db.row_count", "db.rows_affected"]);
            (&*span.resource, rows, affected)
        })
        .collect();
    let found: Vec<_> = found
        .iter()
        .map(|(text, rows, affected)| (*text, &**rows, &**affected))
        .collect();
    assert_eq!(found, expected);
    for query in &queries {
        assert_child(query, order);
        assert_eq!(query.type_, "sql");
        let keys = ["component", "db.system", "span.kind"];
        assert_eq!(
            tags(query, keys),
            ["tokio-postgres", "postgresql", "client"]
        );
        assert!(
            !query.meta.values().any(|value| value.contains("secret")),
            "{query:?}"
        );
    }
    let failed: Vec<_> = queries.iter().filter(|span| span.error == 1).collect();
    assert_eq!(failed.len(), 1);
    let [kind, message] = tags(failed[0], ["error.type", "error.message"]);
    assert_eq!(kind, "23505");
    assert!(message.contains("buyers_pkey"), "{message}");
}

async fn queries(fixture: &Fixture, mut postgres: Client) {
    let queries = fixture.client.postgres(&postgres);
    queries
        .batch_execute("CREATE TABLE buyers (id int PRIMARY KEY, name text)")
        .await
        .unwrap();
    let two = "INSERT INTO buyers VALUES (1, 'secret'), (2, 'secret too')";
    assert_eq!(queries.execute(two, &[]).await.unwrap(), 2);
    let one = queries
        .query_one("SELECT name FROM buyers WHERE id = $1", &[&1])
        .await
        .unwrap();
    assert_eq!(one.get::<_, &str>(0), "secret");
    let all = queries
        .query("SELECT name FROM buyers WHERE id > 0 -- secret", &[])
        .await
        .unwrap();
    assert_eq!(all.len(), 2);
    let none = queries
        .query_opt("SELECT name FROM buyers WHERE name = 'secret one'", &[])
        .await;
    assert!(none.unwrap().is_none());
    let sql = "SELECT name FROM buyers";
    let statement = postgres.prepare(sql).await.unwrap();
    let prepared = queries
        .run(sql, postgres.query(&statement, &[]))
        .await
        .unwrap();
    assert_eq!(prepared.len(), 2);

    let transaction = postgres.transaction().await.unwrap();
    let in_transaction = fixture.client.postgres(&transaction);
    assert_eq!(
        in_transaction
            .execute("DELETE FROM buyers", &[])
            .await
            .unwrap(),
        2
    );
    transaction.rollback().await.unwrap();
    let again = "INSERT INTO buyers VALUES (1, 'secret')";
    assert!(
        fixture
            .client
            .postgres(&postgres)
            .execute(again, &[])
            .await
            .is_err()
    );
}

struct PostgreSql {
    process: Child,
    /// Removed when dropped, so after the process.
    directory: TempDir,
}

impl PostgreSql {
    /// A server of its own, with a socket in a directory of its own; `None` where none is installed.
    fn start() -> Option<Self> {
        let programs = programs()?;
        let directory = tempfile::Builder::new()
            .prefix("pg")
            .tempdir_in("/tmp")
            .unwrap();
        let root = directory.path();
        // It refuses to run as root.
        let user = (fs::metadata("/proc/self").unwrap().uid() == 0).then_some(65_534);
        if let Some(user) = user {
            chown(root, Some(user), Some(user)).unwrap();
        }
        let data = root.join("data");
        let run = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command
                .current_dir(root)
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            if let Some(user) = user {
                command.uid(user).gid(user);
            }
            command.arg("-D").arg(&data);
            command
        };
        let made = run("initdb")
            .args(["--no-sync", "--auth=trust", "--username=shop"])
            .status()
            .unwrap();
        assert!(made.success());
        let process = run("postgres")
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(root)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { process, directory })
    }

    /// Waits until it takes connections: it has no other way to tell.
    async fn connect(&self) -> Client {
        let place = format!(
            "host={} user=shop dbname=postgres",
            self.directory.path().display()
        );
        let started = Instant::now();
        loop {
            match tokio_postgres::connect(&place, NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(error) => assert!(started.elapsed() < LIMIT, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for PostgreSql {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Where the server's programs are: on the path, or where Debian has them.
fn programs() -> Option<PathBuf> {
    let of_debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let of_debian = of_debian.map(|version| version.path().join("bin"));
    let usual = ["/usr/local/bin", "/usr/bin", "/usr/local/pgsql/bin"];
    let mut places = usual.iter().map(PathBuf::from).chain(of_debian);
    places.find(|place| place.join("initdb").exists() && place.join("postgres").exists())
}
