use super::*;
use crate::plan::facts::made_up::MadeUp;

const USR: &[(&str, &str)] = &[("/usr/bin/env", ""), ("/home/ada/app/", "")];

/// What is found with this PATH, variables and files.
fn found(path: &str, env: &[(&str, &str)], nodes: &[(&str, &str)]) -> Toolchains {
    let view = MadeUp::new(&[USR, nodes].concat());
    let caller = MadeUp::caller(&[&[("PATH", path)], env].concat());
    let table = files::entries(&view);
    find(&caller, Path::new("/home/ada/app"), &table, &view)
}

fn path(found: &Toolchains) -> String {
    found
        .path()
        .to_string()
        .replace(":/usr/local/bin:/usr/bin:/bin", "")
}

fn stands(found: &Toolchains) -> Vec<String> {
    found
        .entries
        .iter()
        .map(|e| match &e.kind {
            HostEntryKind::Bind { source } => format!("{} = {}", e.target, source.display()),
            HostEntryKind::Symlink { to } => format!("{} -> {to}", e.target),
            HostEntryKind::Made { .. } => format!("{} made", e.target),
            HostEntryKind::Cache { .. } | HostEntryKind::Covered { .. } => panic!("no tool's"),
        })
        .collect()
}

fn var(found: &Toolchains, name: &str) -> Option<String> {
    found.vars.get(name).map(OsText::to_string)
}

const RUSTUP: &[(&str, &str)] = &[
    ("/home/ada/.cargo/bin/rustup", ""),
    ("/home/ada/.cargo/bin/cargo", "-> rustup"),
    ("/home/ada/.cargo/credentials.toml", "secret"),
    ("/home/ada/.rustup/toolchains/stable/bin/cargo", ""),
    (
        "/home/ada/.rustup/toolchains/1.95.0",
        "-> /home/ada/.rustup/toolchains/stable",
    ),
    (
        "/home/ada/.rustup/toolchains/mine",
        "-> /home/ada/rust/build/stage2",
    ),
    ("/home/ada/.rustup/toolchains/lost", "-> /nowhere"),
    ("/home/ada/rust/build/stage2/bin/rustc", ""),
    (
        "/home/ada/.rustup/settings.toml",
        "version = \"12\"\ndefault_toolchain = \"stable\"\n[overrides]\n\"/home/ada/app\" = \"mine\"\n\"/home/ada\" = \"other\"\n",
    ),
];

#[test]
fn rustup_in_a_home_folder() {
    let f = found("/home/ada/.cargo/bin:/usr/bin", &[], RUSTUP);
    assert_eq!(path(&f), "/toolchains/cargo/bin");
    assert_eq!(
        stands(&f),
        [
            "/toolchains/cargo/bin = /home/ada/.cargo/bin",
            "/toolchains/rustup/settings.toml made",
            "/toolchains/rustup/toolchains/1.95.0 -> stable",
            "/toolchains/rustup/toolchains/mine = /home/ada/rust/build/stage2",
            "/toolchains/rustup/toolchains/stable = /home/ada/.rustup/toolchains/stable",
        ]
    );
    assert_eq!(
        var(&f, "RUSTUP_HOME").as_deref(),
        Some("/toolchains/rustup")
    );
    assert_eq!(
        var(&f, "CARGO_HOME").as_deref(),
        Some("/home/builder/.cargo")
    );
    assert_eq!(var(&f, "RUSTUP_AUTO_INSTALL").as_deref(), Some("0"));
    // The nearest override, which rustup could not see inside.
    assert_eq!(var(&f, "RUSTUP_TOOLCHAIN").as_deref(), Some("mine"));
    let HostEntryKind::Made { content } = &f.entries[1].kind else {
        panic!()
    };
    let settings = String::from_utf8(content.clone()).unwrap();
    assert_eq!(
        settings,
        "version = \"12\"\ndefault_toolchain = \"stable\"\n"
    );
}

#[test]
fn what_the_caller_chose_is_pinned() {
    let f = found(
        "/home/ada/.cargo/bin",
        &[("RUSTUP_TOOLCHAIN", "nightly")],
        RUSTUP,
    );
    assert_eq!(var(&f, "RUSTUP_TOOLCHAIN").as_deref(), Some("nightly"));
}

#[test]
fn rustup_that_is_not_on_the_path_is_left_alone() {
    let f = found("/usr/bin", &[], RUSTUP);
    assert!(stands(&f).is_empty() && f.vars.is_empty(), "{f:?}");
}

#[test]
fn rustup_of_an_image_stays_in_its_place() {
    let env = [
        ("CARGO_HOME", "/usr/local/cargo"),
        ("RUSTUP_HOME", "/usr/local/rustup"),
    ];
    let nodes = [
        ("/usr/local/cargo/bin/rustup", ""),
        ("/usr/local/rustup/toolchains/stable/bin/cargo", ""),
    ];
    let f = found("/usr/local/cargo/bin:/usr/bin", &env, &nodes);
    assert_eq!(path(&f), "/usr/local/cargo/bin");
    assert!(stands(&f).is_empty(), "{f:?}");
    assert_eq!(var(&f, "RUSTUP_HOME").as_deref(), Some("/usr/local/rustup"));
    assert_eq!(
        var(&f, "CARGO_HOME").as_deref(),
        Some("/home/builder/.cargo")
    );
}

#[test]
fn pyenv_keeps_its_path_by_a_link() {
    let nodes = [
        ("/home/ada/.pyenv/shims/python", ""),
        ("/home/ada/.pyenv/bin/", ""),
        ("/home/ada/.pyenv/libexec/", ""),
        ("/home/ada/.pyenv/versions/3.11/bin/", ""),
        ("/home/ada/.pyenv/version", "3.11\n"),
        ("/home/ada/.pyenv/.git/config", "secret"),
    ];
    let f = found(
        "/home/ada/.pyenv/shims:/home/ada/.pyenv/bin:/usr/bin",
        &[],
        &nodes,
    );
    assert_eq!(path(&f), "/toolchains/pyenv/shims:/toolchains/pyenv/bin");
    assert_eq!(
        stands(&f),
        [
            "/toolchains/pyenv/bin = /home/ada/.pyenv/bin",
            "/toolchains/pyenv/libexec = /home/ada/.pyenv/libexec",
            "/toolchains/pyenv/shims = /home/ada/.pyenv/shims",
            "/toolchains/pyenv/version made",
            "/toolchains/pyenv/versions = /home/ada/.pyenv/versions",
            "/home/ada/.pyenv -> /toolchains/pyenv",
        ]
    );
    assert_eq!(var(&f, "PYENV_ROOT").as_deref(), Some("/toolchains/pyenv"));
}

#[test]
fn node_by_its_shape_and_without_its_npmrc() {
    let v = "/home/ada/.nvm/versions/node/v20";
    let nodes = [
        "bin/node",
        "include/node/node.h",
        "lib/node_modules/x",
        "etc/npmrc",
    ]
    .map(|p| format!("{v}/{p}"));
    let nodes: Vec<_> = nodes.iter().map(|p| (p.as_str(), "")).collect();
    let f = found(&format!("{v}/bin:/usr/bin"), &[], &nodes);
    assert_eq!(path(&f), "/toolchains/node/bin");
    let want = ["bin", "include", "lib"].map(|p| format!("/toolchains/node/{p} = {v}/{p}"));
    assert_eq!(stands(&f), want);
}

#[test]
fn go_and_java_by_their_shape() {
    let nodes = [
        ("/home/ada/sdk/go/VERSION", ""),
        ("/home/ada/sdk/go/bin/go", ""),
        ("/home/ada/sdk/go/pkg/tool/", ""),
        ("/srv/jdk/release", ""),
        ("/srv/jdk/bin/java", ""),
        ("/srv/jdk/lib/", ""),
    ];
    let f = found("/srv/jdk/bin:/home/ada/sdk/go/bin", &[], &nodes);
    assert_eq!(path(&f), "/toolchains/java/bin:/toolchains/go/bin");
    assert_eq!(
        stands(&f),
        [
            "/toolchains/java = /srv/jdk",
            "/toolchains/go = /home/ada/sdk/go"
        ]
    );
    assert_eq!(var(&f, "JAVA_HOME").as_deref(), Some("/toolchains/java"));
    assert_eq!(var(&f, "GOROOT").as_deref(), Some("/toolchains/go"));
}

#[test]
fn what_the_file_table_shows_stays_in_place() {
    let nodes = [
        ("/usr/local/go/VERSION", ""),
        ("/usr/local/go/bin/go", ""),
        ("/usr/local/go/pkg/tool/", ""),
        ("/usr/lib/ccache/cc", ""),
        ("/nix/store/abc/bin/gcc", ""),
        ("/home/ada/.nix-profile", "-> /nix/store/abc"),
    ];
    let f = found(
        "/usr/lib/ccache:/usr/local/go/bin:/home/ada/.nix-profile/bin:/usr/sbin",
        &[],
        &nodes,
    );
    assert_eq!(
        path(&f),
        "/usr/lib/ccache:/usr/local/go/bin:/nix/store/abc/bin"
    );
    assert_eq!(var(&f, "GOROOT").as_deref(), Some("/usr/local/go"));
    assert!(stands(&f).is_empty() && f.left_out.is_empty());
}

#[test]
fn add_ons_keep_their_path_by_a_link() {
    let nodes = [
        ("/opt/arm/gcc/bin/gcc", ""),
        ("/opt/cargo/bin/x", ""),
        ("/opt/rustup/x", ""),
    ];
    let env = [("CARGO_HOME", "/nowhere")];
    let f = found(
        "/opt/arm/gcc/bin:/opt/cargo/bin:/opt/rustup:/opt",
        &env,
        &nodes,
    );
    assert_eq!(
        path(&f),
        "/toolchains/arm/gcc/bin:/toolchains/cargo/bin:/toolchains/rustup-2"
    );
    assert_eq!(f.left_out, [Path::new("/opt")]);
    assert_eq!(
        stands(&f)[..2],
        ["/toolchains/arm = /opt/arm", "/opt/arm -> /toolchains/arm"]
    );
}

#[test]
fn two_of_a_kind_both_stand() {
    let mut nodes = Vec::new();
    for v in ["/srv/a", "/srv/b"] {
        nodes.extend([
            format!("{v}/release"),
            format!("{v}/bin/java"),
            format!("{v}/lib/x"),
        ]);
    }
    let nodes: Vec<_> = nodes.iter().map(|p| (p.as_str(), "")).collect();
    let f = found("/srv/a/bin:/srv/b/bin:/srv/a/bin", &[], &nodes);
    assert_eq!(path(&f), "/toolchains/java/bin:/toolchains/java-2/bin");
    assert_eq!(var(&f, "JAVA_HOME").as_deref(), Some("/toolchains/java"));
}

#[test]
fn sdkman_names_its_java() {
    let nodes = [
        ("/home/ada/.sdkman/candidates/java/21/bin/java", ""),
        ("/home/ada/.sdkman/candidates/java/current", "-> 21"),
        ("/home/ada/.sdkman/candidates/maven/3.9/bin/mvn", ""),
        ("/home/ada/.sdkman/etc/config", "secret"),
    ];
    let f = found(
        "/home/ada/.sdkman/candidates/maven/3.9/bin:/home/ada/.sdkman/candidates/java/current/bin",
        &[],
        &nodes,
    );
    assert_eq!(
        path(&f),
        "/toolchains/sdkman/candidates/maven/3.9/bin:/toolchains/sdkman/candidates/java/21/bin"
    );
    assert_eq!(
        stands(&f),
        [
            "/toolchains/sdkman/candidates = /home/ada/.sdkman/candidates",
            "/home/ada/.sdkman -> /toolchains/sdkman"
        ]
    );
    assert_eq!(
        var(&f, "JAVA_HOME").as_deref(),
        Some("/toolchains/sdkman/candidates/java/21")
    );
}

#[test]
fn home_folders_and_the_unknown_are_never_mounted() {
    let nodes = [
        // A node that was unpacked over a home folder, and over ~/.local.
        ("/home/ada/bin/node", ""),
        ("/home/ada/include/node/node.h", ""),
        ("/home/ada/lib/x", ""),
        ("/home/ada/.local/bin/node", ""),
        ("/home/ada/.local/include/node/node.h", ""),
        ("/home/ada/.cargo/credentials.toml", "secret"),
        ("/home/ada/.pyenv/x", ""),
        ("/snap/bin/x", ""),
    ];
    let path_ = "/home/ada/bin:/home/ada/.local/bin:/home/ada:/home/ada/.cargo:/home/ada/.pyenv:.:rel/bin:/snap/bin:/nowhere:";
    let f = found(path_, &[], &nodes);
    assert_eq!(path(&f), "/usr/local/bin:/usr/bin:/bin");
    assert!(stands(&f).is_empty(), "{f:?}");
    let left: Vec<_> = f.left_out.iter().map(|p| p.to_str().unwrap()).collect();
    assert_eq!(
        left,
        [
            "/home/ada/bin",
            "/home/ada/.local/bin",
            "/home/ada",
            "/home/ada/.cargo",
            "/home/ada/.pyenv",
            ".",
            "rel/bin",
            "/snap/bin"
        ]
    );
}
