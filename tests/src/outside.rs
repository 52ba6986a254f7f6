//! A network of the test's own with somebody in it to reach: every name leads to one origin, which
//! speaks HTTP/1.1, HTTP/2, git and a protocol of its own. Nothing of the machine's network is there.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::project::{Project, Ran, belljar_bin, caller_is_root, repository};

/// Where the origin listens, and what every name resolves to.
pub const ORIGIN: &str = "192.0.2.10";

/// Names in the origin's certificate.
const NAMES: &str = "DNS:files.example,DNS:git.example,DNS:other.example,DNS:a.wild.example";

/// Started as whoever may make a network: brings it up, starts the origin, then belljar in it.
const SCRIPT: &str = r#"
set -e
dir=$1; shift
ip link set lo up
ip route add local 192.0.2.10/32 dev lo
mount --bind "$dir/resolv.conf" /etc/resolv.conf
setpriv --pdeathsig KILL -- "$dir/origin" -dir "$dir" &
origin=$!
while [ ! -e "$dir/ready" ]; do kill -0 $origin; sleep 0.02; done
status=0
"$@" || status=$?
rm "$dir/ready"
kill $origin
exit $status
"#;

/// The outside.
#[derive(Debug)]
pub struct Outside {
    dir: TempDir,
}

impl Default for Outside {
    fn default() -> Self {
        Self::new()
    }
}

impl Outside {
    /// Builds the origin, and makes its certificate.
    ///
    /// # Panics
    /// If that fails.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("belljar-outside.")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("a temporary folder");
        let outside = Self { dir };
        outside.put("resolv.conf", &format!("nameserver {ORIGIN}\n"));
        fs::copy(built(), outside.path("origin")).expect("the origin");
        outside.certify();
        outside
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The certificate that its own was signed with.
    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// What reached the origin in the last run, a line each: protocol, method, host, path.
    ///
    /// # Panics
    /// If nothing was run yet.
    pub fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).expect("the origin's log");
        text.lines().map(str::to_owned).collect()
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file of the outside");
    }

    fn certify(&self) {
        self.put(
            "extensions",
            &format!("subjectAltName={NAMES}\nextendedKeyUsage=serverAuth\n"),
        );
        let run = |args: &[&str]| {
            let mut openssl = Command::new("openssl");
            openssl.current_dir(self.dir.path()).args(args);
            let ran = Ran::of(&mut openssl);
            assert_eq!(ran.code, 0, "{args:?} {ran}");
        };
        let curve = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        run(&[
            &["req", "-x509"][..],
            &curve,
            &[
                "-days",
                "7000",
                "-subj",
                "/CN=Outside",
                "-keyout",
                "ca.key",
                "-out",
                "ca.pem",
            ],
        ]
        .concat());
        run(&[
            &["req"][..],
            &curve,
            &[
                "-subj",
                "/CN=files.example",
                "-keyout",
                "key.pem",
                "-out",
                "request.pem",
            ],
        ]
        .concat());
        run(&[
            "x509",
            "-req",
            "-in",
            "request.pem",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "7000",
            "-extfile",
            "extensions",
            "-out",
            "cert.pem",
        ]);
    }

    /// Makes `git/NAME` with one commit, which the origin serves at `/git/NAME`.
    ///
    /// # Panics
    /// If git fails.
    pub fn repository(&self, name: &str) {
        let git = |args: &[&str]| {
            let mut git = Command::new("git");
            git.current_dir(self.dir.path())
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .args(args);
            let ran = Ran::of(&mut git);
            assert_eq!(ran.code, 0, "{args:?} {ran}");
        };
        git(&["init", "-q", "work"]);
        fs::write(self.path("work/file"), "from a repository\n").expect("a file to commit");
        git(&["-C", "work", "add", "file"]);
        let who = [
            "-c",
            "user.name=Somebody",
            "-c",
            "user.email=somebody@git.example",
        ];
        git(&[&who[..], &["-C", "work", "commit", "-q", "-m", "One"]].concat());
        git(&["clone", "-q", "--bare", "work", &format!("git/{name}")]);
        git(&["-C", &format!("git/{name}"), "update-server-info"]);
    }

    /// A program in the project's folder and this network, as the project's user.
    pub fn command(&self, project: &Project, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("unshare");
        if !caller_is_root() {
            command.args(["--user", "--map-current-user", "--keep-caps"]);
        }
        command
            .args(["--net", "--mount", "--", "sh", "-c", SCRIPT, "sh"])
            .arg(self.dir.path());
        if !caller_is_root() {
            command.args(["setpriv", "--inh-caps=-all", "--ambient-caps=-all", "--"]);
        }
        let inner = project.command(program);
        command.arg(inner.get_program()).args(inner.get_args());
        command.env_clear();
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.current_dir(project.dir()).stdin(Stdio::null());
        command
    }

    /// `belljar ARGS...` in the project's folder and this network, ready to be changed further. The
    /// origin's authority is trusted by belljar itself.
    pub fn belljar_command<A: AsRef<OsStr>>(
        &self,
        project: &Project,
        args: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = self.command(project, belljar_bin());
        command.env("SSL_CERT_FILE", self.authority()).args(args);
        command
    }

    /// Runs it.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn belljar<A: AsRef<OsStr>>(
        &self,
        project: &Project,
        args: impl IntoIterator<Item = A>,
    ) -> Ran {
        Ran::of(&mut self.belljar_command(project, args))
    }
}

/// The origin's program, built once for all tests of this tree.
fn built() -> PathBuf {
    let source = repository().join("fixtures/outside/origin.go");
    let test = std::env::current_exe().expect("the test's own path");
    let programs = test.ancestors().nth(2).expect("tests are two folders deep");
    let folder = programs.join("outside");
    fs::create_dir_all(&folder).expect("a folder for the origin");
    let lock = fs::File::create(folder.join("lock")).expect("a lock");
    lock.lock().expect("the lock");
    let program = folder.join("origin");
    let modified = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    if modified(&program) < modified(&source) {
        let mut go = Command::new("go");
        go.args(["build", "-o"])
            .arg(&program)
            .arg(&source)
            .current_dir(&folder)
            .env("GOCACHE", folder.join("cache"))
            .env("GOFLAGS", "-mod=mod")
            .env("CGO_ENABLED", "0");
        let ran = Ran::of(&mut go);
        assert_eq!(ran.code, 0, "{ran}");
    }
    program
}
