//! A PostgreSQL server of Debian's package for tests: one for all that run at the same time, and a database for each.
//!
//! It needs nothing but the standard library, so that tests of other packages take it in by its path. The server keeps
//! its files in the folder for temporary files, takes no connection from outside, and ends by itself some seconds
//! after the last test that used it.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "a failed step fails the test, and not every test needs all of it, or has it elsewhere"
)]

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the server when nobody has held the lock for some seconds, and removes its data.
const KEEPER: &str = r#"
bin=$1 root=$2; shift 2
"$bin/postgres" "$@" & pid=$!
idle=0
while sleep 2; do
    kill -0 $pid 2>/dev/null || exit 0
    if flock -n -x "$root/users" true; then idle=$((idle + 1)); else idle=0; fi
    if [ $idle -ge 5 ]; then
        flock -n -x "$root/users" sh -c "kill -QUIT $pid; while kill -0 $pid 2>/dev/null; do sleep 0.1; done; rm -rf '$root/data'" \
            && exit 0
    fi
done
"#;

/// The programs of the newest server that is installed.
pub fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            (version >= 15 && bin.join("initdb").exists()).then_some((version, bin))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

/// Says on the error output that something was left out, which is how a run shows it.
pub fn skip(what: &str) {
    eprintln!("SKIP: no PostgreSQL 15 or newer (Debian's package `postgresql`): {what}");
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// A program of the server, which refuses to run as root.
fn command(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// Makes a folder that the server's user owns.
fn make_folder(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    if is_root() {
        done(Command::new("chown").arg("postgres:").arg(folder));
    }
    done(Command::new("chmod").arg("700").arg(folder));
}

fn done(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn init(bin: &Path, data: &Path) {
    done(
        command(&bin.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=postgres"])
            // Not that of the files: the store must not depend on it.
            .args([
                "--encoding=UTF8",
                "--locale-provider=icu",
                "--icu-locale=en",
            ])
            .args(["--locale=C.UTF-8"])
            .arg("--pgdata")
            .arg(data)
            .current_dir("/"),
    );
}

/// What both kinds of server are started with.
fn settings(root: &Path) -> Vec<String> {
    let socket = format!("--unix_socket_directories={}", root.display());
    let data = root.join("data").display().to_string();
    let fixed = [
        "-D",
        &data,
        &socket,
        "--listen_addresses=",
        "--shared_buffers=32MB",
    ];
    let more = ["--autovacuum=off", "--log_min_messages=fatal"];
    fixed.iter().chain(&more).map(ToString::to_string).collect()
}

/// Asks the server in a folder something, without the help of a library.
pub fn ask(root: &Path, database: &str, query: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
        .args(["--username=postgres", "--set=ON_ERROR_STOP=1"])
        .arg(format!("--host={}", root.display()))
        .arg(format!("--dbname={database}"))
        .arg(format!("--command={query}"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn answers(root: &Path) -> bool {
    ask(root, "postgres", "SELECT 1").is_ok()
}

fn wait_until_it_answers(root: &Path) {
    let start = Instant::now();
    while !answers(root) {
        assert!(
            start.elapsed() < PATIENCE,
            "no server in {}",
            root.display()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The folder of the server that all tests share, which runs for as long as this process does; `None` without one.
fn shared() -> Option<&'static Path> {
    static USED: OnceLock<Option<(PathBuf, File)>> = OnceLock::new();
    let used = USED.get_or_init(|| {
        let bin = programs()?;
        let user = std::fs::metadata("/proc/self").unwrap().uid();
        let root = std::env::temp_dir().join(format!("nvrd-test-postgres-{user}"));
        make_folder(&root);
        // Waits for a server that is just ending.
        let users = File::create(root.join("users")).unwrap();
        users.lock_shared().unwrap();
        let start = File::create(root.join("start")).unwrap();
        start.lock().unwrap();
        if !answers(&root) {
            let data = root.join("data");
            if data.exists() {
                std::fs::remove_dir_all(&data).unwrap();
            }
            init(&bin, &data);
            let mut keeper = Command::new("setsid");
            if is_root() {
                keeper.args(["setpriv", "--reuid=postgres", "--regid=postgres"]);
                keeper.arg("--clear-groups");
            }
            keeper
                .args(["sh", "-c", KEEPER, "keeper"])
                .args([&bin, &root])
                .args(settings(&root))
                // Nothing here is to outlive a power cut.
                .args([
                    "--fsync=off",
                    "--full_page_writes=off",
                    "--max_connections=300",
                ])
                .current_dir("/")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            drop(keeper.spawn().unwrap());
            wait_until_it_answers(&root);
        }
        Some((root, users))
    });
    used.as_ref().map(|(root, _)| root.as_path())
}

/// A database of its own on a server; it goes when this is dropped.
pub struct Database {
    root: PathBuf,
    /// Its name.
    pub name: String,
}

impl Database {
    /// An empty database on the shared server; `None` without one.
    pub fn empty() -> Option<Self> {
        Some(Self::made(shared()?, ""))
    }

    /// A copy of a database that `prepare` made ready once for this program, given its address.
    pub fn prepared(prepare: impl FnOnce(&str)) -> Option<Self> {
        let root = shared()?;
        let program = std::env::current_exe().unwrap();
        let file = std::fs::metadata(&program).unwrap();
        let mut hasher = DefaultHasher::new();
        (program, file.mtime_nsec(), file.mtime(), file.len()).hash(&mut hasher);
        let template = format!("template_{:016x}", hasher.finish());
        let turn = File::create(root.join("template")).unwrap();
        turn.lock().unwrap();
        let known = format!("SELECT 1 FROM pg_database WHERE datname = '{template}'");
        if ask(root, "postgres", &known).unwrap().is_empty() {
            let making = Self::made(root, "");
            prepare(&making.url());
            making.end_connections();
            let rename = format!("ALTER DATABASE {} RENAME TO {template}", making.name);
            ask(root, "postgres", &rename).unwrap();
        }
        drop(turn);
        Some(Self::made(root, &format!("TEMPLATE {template}")))
    }

    fn made(root: &Path, from: &str) -> Self {
        Self::try_made(root, from).unwrap()
    }

    fn try_made(root: &Path, from: &str) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{count}", std::process::id());
        let remains = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        ask(root, "postgres", &remains)?;
        ask(root, "postgres", &format!("CREATE DATABASE {name} {from}"))?;
        Ok(Self {
            root: root.to_owned(),
            name,
        })
    }

    /// Its address.
    pub fn url(&self) -> String {
        url(&self.root, &self.name)
    }

    /// Asks it something.
    pub fn ask(&self, query: &str) -> String {
        ask(&self.root, &self.name, query).unwrap()
    }

    /// Ends every connection to it.
    pub fn end_connections(&self) {
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
            self.name
        );
        let left = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'",
            self.name
        );
        let start = Instant::now();
        loop {
            ask(&self.root, "postgres", &end).unwrap();
            if ask(&self.root, "postgres", &left).unwrap() == "0" {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "connections to {} stay",
                self.name
            );
        }
    }

    /// A copy of it as it is now; its connections are ended for that.
    pub fn copy(&self) -> Self {
        let start = Instant::now();
        loop {
            self.end_connections();
            let from = format!("TEMPLATE {}", self.name);
            // Whoever was cut off may be back already.
            match Self::try_made(&self.root, &from) {
                Ok(copy) => return copy,
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let remove = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        drop(ask(&self.root, "postgres", &remove));
    }
}

fn url(root: &Path, database: &str) -> String {
    format!("postgres://postgres@/{database}?host={}", root.display())
}

/// A server of one test alone, which syncs what it writes; it can be ended and started again.
pub struct Server {
    root: PathBuf,
    bin: PathBuf,
    running: Option<Child>,
}

impl Server {
    /// A running server with files below a folder; `None` without one that is installed.
    ///
    /// The name of the folder must be short: the socket lies in it.
    pub fn start(folder: &Path) -> Option<Self> {
        let bin = programs()?;
        let root = folder.join("pg");
        done(Command::new("chmod").arg("755").arg(folder));
        make_folder(&root);
        init(&bin, &root.join("data"));
        let mut server = Self {
            root,
            bin,
            running: None,
        };
        server.resume();
        Some(server)
    }

    /// The address of its first database.
    pub fn url(&self) -> String {
        url(&self.root, "postgres")
    }

    /// Asks it something.
    pub fn ask(&self, query: &str) -> String {
        ask(&self.root, "postgres", query).unwrap()
    }

    /// Starts it, and waits until it answers.
    pub fn resume(&mut self) {
        let child = command(&self.bin.join("postgres"))
            .args(settings(&self.root))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.running = Some(child);
        wait_until_it_answers(&self.root);
    }

    /// Ends it at once, as a crash does: what it had not synced is lost.
    pub fn crash(&mut self) {
        let Some(mut child) = self.running.take() else {
            return;
        };
        done(Command::new("kill").args(["-QUIT", &child.id().to_string()]));
        child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}
