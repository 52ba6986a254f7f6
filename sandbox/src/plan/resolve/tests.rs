use belljar_model::CacheKind;
use nix::errno::Errno;

use super::*;
use crate::plan::Real;
use crate::plan::facts::made_up::MadeUp;

mod places;

/// A small Debian with Ada's project on it.
fn host() -> MadeUp {
    MadeUp::new(&[
        ("/usr/bin/", ""),
        ("/usr/bin/bash", "#!"),
        ("/usr/lib/", ""),
        ("/usr/lib/os-release", "ID=debian"),
        ("/usr/share/ca/", ""),
        ("/bin", "-> usr/bin"),
        ("/lib", "-> usr/lib"),
        ("/var/tmp/", ""),
        ("/tmp/", ""),
        ("/etc/passwd", "ada:x:1001:"),
        ("/etc/shadow", "secret"),
        ("/etc/machine-id", "secret"),
        ("/etc/ssl/private/host.key", "secret"),
        ("/etc/ssl/certs/ca.pem", "public"),
        ("/etc/apt/auth.conf", "secret"),
        ("/etc/apt/auth.conf.d/x", "secret"),
        ("/etc/apt/sources.list.d/x", "deb"),
        ("/etc/os-release", "-> ../usr/lib/os-release"),
        ("/home/ada/app/.git/HEAD", "ref: refs/heads/main"),
        ("/home/ada/app/sub/Makefile", "all:"),
        ("/home/ada/.ssh/id", "secret"),
    ])
}

fn request() -> Request {
    Request::new(vec!["make".into()])
}

fn resolved(change: impl FnOnce(&mut Request)) -> Result<Resolved, PlanError> {
    on(&host(), &MadeUp::caller(&[]), change)
}

fn on(
    view: &MadeUp,
    caller: &Caller,
    change: impl FnOnce(&mut Request),
) -> Result<Resolved, PlanError> {
    let mut request = request();
    change(&mut request);
    resolve(&request, caller, view)
}

#[test]
fn the_machine_itself_resolves() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = request();
    request.workdir = dir.path().into();
    request.evidence = dir.path().join("artifacts");
    let caller = Caller::read().unwrap();
    let resolved = resolve(&request, &caller, &Real).unwrap();
    assert_eq!(resolved.host.hidden, [Path::new("artifacts")]);
    let stands = |t: &str| resolved.host.entries.iter().any(|e| e.target == t.into());
    assert!(stands("/usr") && stands("/etc/passwd"));
    for secret in [
        "/etc/shadow",
        "/etc/ssh",
        "/etc/machine-id",
        "/etc/ssl/private",
        "/etc",
    ] {
        assert!(!stands(secret), "{secret}");
    }
}

#[test]
fn a_usual_request() {
    let r = resolved(|_| ()).unwrap();
    assert_eq!(r.host.root, Path::new("/home/ada/app"));
    assert_eq!(r.host.evidence, Path::new("/home/ada/app/artifacts"));
    assert_eq!(r.host.scratch, Path::new("/var/tmp"));
    assert_eq!(r.host.gitdir, None);
    assert_eq!(r.plan.cwd, "".into());
    insta::assert_json_snapshot!(r.plan);
}

#[test]
fn the_plan_is_the_same_whoever_asks_and_whenever() {
    let digest = |user: &str, change: &dyn Fn(&mut Request)| {
        let mut view = host();
        view.add(&format!("/home/{user}/work/.git/HEAD"), "ref");
        view.add(&format!("/home/{user}/.cargo/bin/rustup"), "#!");
        view.add(&format!("/home/{user}/.rustup/toolchains/stable/bin/"), "");
        view.add(&format!("/home/{user}/.pyenv/shims/python"), "#!");
        view.add(&format!("/home/{user}/extra/x"), "");
        let home = format!("/home/{user}");
        let path = format!("{home}/.cargo/bin:{home}/.pyenv/shims:/usr/bin");
        let mut caller = MadeUp::caller(&[("HOME", &home), ("PATH", &path)]);
        caller.cwd = Path::new(&home).join("work");
        let r = on(&view, &caller, |r| {
            r.ro = vec![Path::new(&home).join("extra")];
            change(r);
        });
        let plan = r.unwrap().plan;
        let text = serde_json::to_string(&plan).unwrap();
        assert!(!text.contains(user), "{text}");
        plan.digest()
    };
    assert_eq!(digest("ada", &|_| ()), digest("grace", &|_| ()));
    let other = |r: &mut Request| r.outputs.strict = true;
    assert_ne!(digest("ada", &|_| ()), digest("ada", &other));
}

#[test]
fn nothing_to_run() {
    for words in [vec![], vec!["".into()]] {
        let e = resolved(|r| r.command = Command::Words(words)).unwrap_err();
        assert_eq!(e, PlanError::NoCommand);
    }
    let mut caller = MadeUp::caller(&[]);
    let shell = |caller: &Caller| {
        let r = on(&host(), caller, |r| r.command = Command::Shell).unwrap();
        r.plan.command
    };
    assert_eq!(shell(&caller), ["/usr/bin/bash".into()]);
    caller.terminal = true;
    assert_eq!(shell(&caller), ["/usr/bin/bash".into(), "-i".into()]);
}

#[test]
fn output_patterns() {
    let glob = |g: &str| resolved(|r| r.outputs.globs = vec![g.into()]);
    for good in ["a", "dist/*.tar.gz", "**/*.o", "a[0-9]", "{a,b}", "a..b"] {
        assert!(glob(good).is_ok(), "{good}");
    }
    for bad in ["", "/abs", "../x", "a/../b", "a[", "{a", "a\\"] {
        let e = glob(bad).unwrap_err();
        assert!(matches!(e, PlanError::Glob { .. }), "{bad}");
    }
}

#[test]
fn variables() {
    let caller = MadeUp::caller(&[
        ("CC", "clang"),
        ("SECRET", "s3cret"),
        ("SHLVL", "1"),
        ("SSH_AUTH_SOCK", "/x"),
        ("LD_PRELOAD", "/x"),
    ]);
    let r = on(&host(), &caller, |r| {
        r.env = [("A".into(), "b".into())].into();
        r.pass_env = ["SECRET".into(), "NO_SUCH".into()].into();
    });
    let r = r.unwrap();
    let names: Vec<_> = r.plan.env.keys().map(OsText::to_string).collect();
    assert_eq!(names, ["A", "HOME", "LANG", "PATH", "SECRET", "TZ", "USER"]);
    let document = serde_json::to_string(&r.plan.env).unwrap();
    assert!(
        !document.contains("s3cret") && document.contains("/home/builder"),
        "{document}"
    );
    assert_eq!(
        r.notices,
        [
            "NO_SUCH is to be passed on and is not set",
            "3 variables of your environment are not passed to the build, among them CC, which builds often use (--pass-env CC)",
        ]
    );
    for name in [
        "PATH",
        "HOME",
        "USER",
        "LANG",
        "TZ",
        "TERM",
        "SOURCE_DATE_EPOCH",
        "BELLJAR_X",
    ] {
        let set = resolved(|r| r.env = [(name.into(), "x".into())].into());
        assert!(matches!(set, Err(PlanError::Reserved { .. })), "{name}");
        let passed = resolved(|r| r.pass_env = [name.into()].into());
        assert!(matches!(passed, Err(PlanError::Reserved { .. })), "{name}");
    }
}

#[test]
fn streams_follow_the_caller_and_a_pair_has_no_terminal() {
    let mut caller = MadeUp::caller(&[("TERM", "xterm")]);
    let plan = |caller: &Caller, pair: bool| {
        let skew = pair.then_some(belljar_model::Skew::Auto);
        on(&host(), caller, |r| r.skew = skew).unwrap().plan
    };
    let term = |plan: &Plan| plan.env.get(&"TERM".into()).map(|v| v.value.to_string());
    assert_eq!(plan(&caller, false).streams, Streams::PipesWithStdin);
    assert_eq!(term(&plan(&caller, false)), None);
    caller.terminal = true;
    assert_eq!(plan(&caller, false).streams, Streams::Terminal);
    assert_eq!(term(&plan(&caller, false)).as_deref(), Some("xterm"));
    let pair = plan(&caller, true);
    assert_eq!((pair.streams, term(&pair)), (Streams::Pipes, None));
    assert_eq!(pair.env[&"COLUMNS".into()].value, "80".into());
}

#[test]
fn ignored_files_are_hidden_for_source_git() {
    let mut view = host();
    view.git = Ok(b"artifacts/\0build/\0build-2/x\0with\nnewline\0sub/\xff\0".to_vec());
    let r = on(&view, &MadeUp::caller(&[]), |r| r.source = Source::Git).unwrap();
    let odd = PathBuf::from(OsStr::from_bytes(b"sub/\xff"));
    let want = ["artifacts", "build", "build-2/x", "with\nnewline"].map(PathBuf::from);
    let mut want: Vec<_> = want.into_iter().chain([odd]).collect();
    want.sort();
    assert_eq!(r.host.hidden, want);
    view.git = Err("not found".into());
    let e = on(&view, &MadeUp::caller(&[]), |r| r.source = Source::Git).unwrap_err();
    assert!(matches!(e, PlanError::Git { .. }));
    let e = resolved(|r| {
        r.workdir = "/home/ada/.ssh".into();
        r.source = Source::Git;
    });
    assert!(matches!(e, Err(PlanError::NoRepository { .. })));
}

#[test]
fn the_time_of_the_last_commit_is_held_where_asked() {
    let mut view = host();
    view.git = Ok(b"1700000000\n".to_vec());
    let auto = |r: &mut Request| r.source_date_epoch = Some(DateEpoch::Auto);
    let plan = on(&view, &MadeUp::caller(&[]), auto).unwrap().plan;
    assert_eq!(plan.source_date_epoch, Some(1_700_000_000));
    assert_eq!(
        plan.env[&"SOURCE_DATE_EPOCH".into()].value,
        "1700000000".into()
    );
    view.git = Ok(b"nonsense".to_vec());
    assert!(matches!(
        on(&view, &MadeUp::caller(&[]), auto),
        Err(PlanError::Git { .. })
    ));
}

#[test]
fn caches_stand_where_tools_look_and_keep_them_offline() {
    let mut view = host();
    for path in [
        ".cargo/registry/cache/x",
        ".npm/_cacache/x",
        "go/pkg/mod/cache/download/x",
        ".cache/pip/wheels/x",
        ".m2/repository/x",
    ] {
        view.add(&format!("/home/ada/{path}"), "");
    }
    let all = [
        CacheKind::Cargo,
        CacheKind::Npm,
        CacheKind::Go,
        CacheKind::Pip,
        CacheKind::Maven,
    ];
    let r = on(&view, &MadeUp::caller(&[]), |r| r.caches = all.into()).unwrap();
    let cached: Vec<_> = r
        .host
        .entries
        .iter()
        .filter(|e| matches!(e.kind, HostEntryKind::Cache { .. }))
        .map(|e| e.target.to_string())
        .collect();
    assert_eq!(
        cached,
        [
            "/home/builder/.cache/pip",
            "/home/builder/.cargo/registry",
            "/home/builder/.m2/repository",
            "/home/builder/.npm/_cacache",
            "/home/builder/go/pkg/mod/cache/download"
        ]
    );
    for name in [
        "CARGO_NET_OFFLINE",
        "npm_config_offline",
        "GOPROXY",
        "PIP_NO_INDEX",
    ] {
        assert!(r.plan.env.contains_key(&name.into()), "{name}");
    }
    for kind in all {
        let e = resolved(|r| r.caches = [kind].into()).unwrap_err();
        assert!(matches!(e, PlanError::NoCache { .. }), "{e}");
    }
}

/// `belljar.toml` goes with the source to machines whose caches are others.
#[test]
fn a_cache_of_the_file_that_is_not_there_is_told_and_the_tool_stays_offline() {
    for (kind, variable, fill) in [
        (CacheKind::Cargo, "CARGO_NET_OFFLINE", "cargo fetch"),
        (CacheKind::Npm, "npm_config_offline", "npm ci"),
        (CacheKind::Go, "GOPROXY", "go mod download"),
        (CacheKind::Pip, "PIP_NO_INDEX", "pip download"),
        (CacheKind::Maven, "", "mvn dependency:go-offline"),
    ] {
        let r = resolved(|r| {
            r.caches = [kind].into();
            r.caches_may_lack = true;
        })
        .unwrap();
        let told = r.notices.iter().any(|n| n.contains(fill));
        assert!(told, "{:?}", r.notices);
        assert_eq!(r.plan.caches, [], "what is not there serves nothing");
        let mut entries = r.host.entries.iter();
        assert!(!entries.any(|e| matches!(e.kind, HostEntryKind::Cache { .. })));
        let offline = variable.is_empty() || r.plan.env.contains_key(&variable.into());
        assert!(offline, "{variable}");
    }
}

#[test]
fn every_refusal_is_one_sentence_with_a_hint() {
    let all = [
        PlanError::NoCommand,
        resolved(|r| r.workdir = "nowhere".into()).unwrap_err(),
        resolved(|r| r.workdir = "/".into()).unwrap_err(),
        resolved(|r| r.root = Some("sub".into())).unwrap_err(),
        resolved(|r| r.evidence = ".".into()).unwrap_err(),
        resolved(|r| r.outputs.globs = vec!["a[".into()]).unwrap_err(),
        resolved(|r| r.env = [("HOME".into(), "x".into())].into()).unwrap_err(),
        resolved(|r| r.ro = vec!["/etc".into()]).unwrap_err(),
        resolved(|r| r.caches = [CacheKind::Npm].into()).unwrap_err(),
        resolved(|r| r.scratch = Some("sub".into())).unwrap_err(),
        PlanError::NoScratch {
            tried: "/var/tmp and /tmp".into(),
        },
        resolved(|r| r.source = Source::Git).unwrap_err(),
        resolved(|r| {
            r.workdir = "/home/ada/.ssh".into();
            r.source_date_epoch = Some(DateEpoch::Auto);
        })
        .unwrap_err(),
    ];
    let text: Vec<_> = all
        .iter()
        .map(|e| format!("{e}\n  hint: {}", e.hint()))
        .collect();
    insta::assert_snapshot!(text.join("\n"));
}
