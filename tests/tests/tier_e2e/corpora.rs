//! Other people's programs and packages: a clean build of each stays reproducible under the moved clock,
//! and the same build with one leak of a date or of a file's time in it is caught.

use std::{path::PathBuf, process::Command};

use belljar_tests::{Project, Ran, repository};

/// Where a program comes from.
#[derive(Clone, Copy)]
enum Origin {
    /// Real source, fetched once by scripts/corpus and kept.
    Corpus(&'static str),
    /// A project of this repository.
    Fixture(&'static str),
}
use Origin::{Corpus, Fixture};

/// A program, how it is built, and what must be among its outputs.
struct Program {
    name: &'static str,
    from: Origin,
    script: &'static str,
    outputs: &'static [&'static str],
    /// What is appended to the build, and leaves the time of the build in `leak*`.
    leak: &'static str,
}

/// Builds Debian's packages as Debian does, beside the source.
macro_rules! packages {
    () => {
        "mkdir /tmp/p && cp -a . /tmp/p/src && cd /tmp/p/src && \
         { dpkg-buildpackage -b -us -uc -d >/tmp/log 2>&1 || { tail -20 /tmp/log; exit 1; }; } && \
         cp ../*.deb /build && cd /build"
    };
}

/// A wheel is a zip archive, and pip has no other way to date it.
macro_rules! wheel {
    () => {
        "SOURCE_DATE_EPOCH=1704067200 python3 -m pip wheel -q --no-build-isolation --no-deps --no-index -w dist ."
    };
}

/// Declares the table, and a test for each line of it.
macro_rules! programs {
    ($($test:ident: $from:expr, $script:expr, [$($output:expr),+], leak $leak:expr;)+) => {
        const PROGRAMS: &[Program] = &[$(Program {
            name: stringify!($test),
            from: $from,
            script: $script,
            outputs: &[$($output),+],
            leak: $leak,
        }),+];
        $(#[test]
        fn $test() {
            check(stringify!($test));
        })+
    };
}

programs! {
    zlib: Corpus("zlib"), "./configure && make", ["libz.a", "libz.so.1.2.13", "minigzip"],
        leak "date +%d >leak";
    lua: Corpus("lua5.4"), "make linux", ["src/lua", "src/luac", "src/liblua.a"],
        leak "touch made; stat -c %y made >leak";
    xxhash: Corpus("xxhash"), "make", ["xxhsum", "libxxhash.a"],
        leak "ar rcU leak.a xxhash.o";
    bzip2: Corpus("bzip2"), "make", ["bzip2", "libbz2.a"],
        leak "tar cf leak.tar bzip2";
    tree: Corpus("tree"), "make", ["tree"],
        leak "date +%H >leak";
    gnu_hello_with_configure: Corpus("hello"), "./configure && make", ["hello", "Makefile", "config.h"],
        leak "printf 'const char *when = __DATE__;' >w.c; cc -c -o leak.o w.c; rm w.c";
    lua_as_a_source_archive: Corpus("lua5.4"),
        "tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - src | gzip -n9 >lua.tar.gz", ["lua.tar.gz"],
        leak "touch src/new; tar -cf leak.tar --sort=name src; rm src/new";
    hostname_as_a_package: Corpus("hostname"), packages!(), ["hostname_3.23+nmu1_amd64.deb"],
        leak "touch made; date -r made +%j >leak";
    ncompress_as_a_package: Corpus("ncompress"), packages!(), ["ncompress_4.2.4.6-6_amd64.deb"],
        leak "echo x >made; gzip -k made; mv made.gz leak.gz";
    figlet_as_a_package: Corpus("figlet"), packages!(), ["figlet_2.2.5-3_amd64.deb"],
        leak "touch made; ls -l --time-style=+%d made >leak";
    cowsay_as_a_package: Corpus("cowsay"), packages!(), ["cowsay_3.03+dfsg2-8_all.deb"],
        leak "touch made; perl -e 'print((localtime((stat q(made))[9]))[3])' >leak";
    pwgen_as_a_package: Corpus("pwgen"), packages!(), ["pwgen_2.08-2_amd64.deb"],
        leak "touch made; find made -printf %TH >leak";
    unifdef_as_a_package: Corpus("unifdef"), packages!(), ["unifdef_2.10-1.1_amd64.deb"],
        leak "touch made; stat -c %z made | cut -c9-10 >leak";
    tree_as_a_package: Corpus("tree"), packages!(), ["tree_2.1.0-1_amd64.deb"],
        leak "mke2fs -q -t ext2 -d doc leak.img 1M";
    a_wheel_of_six: Corpus("six"), wheel!(), ["dist/six-1.16.0-py2.py3-none-any.whl"],
        leak "python3 -m compileall -q six.py; mv __pycache__/six.*.pyc leak.pyc; touch six.py; \
              python3 -c 'import py_compile; py_compile.compile(\"six.py\", \"leak.pyc\")'";
    a_wheel_of_toml: Corpus("toml"), wheel!(), ["dist/toml-0.10.2-py2.py3-none-any.whl"],
        leak "python3 -c 'import datetime; print(datetime.date.today().strftime(\"%A\"))' >leak";
    a_wheel_of_docopt: Corpus("docopt"), wheel!(), ["dist/docopt-0.6.2-py2.py3-none-any.whl"],
        leak "python3 -m pip wheel -q --no-build-isolation --no-deps --no-index -w leak .";
    a_python_wheel: Fixture("python"), wheel!(), ["dist/tally-1.0-py3-none-any.whl"],
        leak "python3 -c 'import zipfile; zipfile.ZipFile(\"leak.zip\", \"w\").write(\"dist\")'";
    an_npm_tarball: Fixture("npm"), "npm pack --silent", ["example-pad-1.0.0.tgz"],
        leak "node -e 'console.log(new Date().getUTCDate())' >leak";
    an_npm_tarball_of_ms: Corpus("ms"), "npm pack --silent --ignore-scripts", ["ms-2.1.3.tgz"],
        leak "node -e 'const fs = require(\"fs\"); fs.writeFileSync(\"made\", \"\"); console.log(fs.statSync(\"made\").mtime.toISOString().slice(0, 10))' >leak";
    an_npm_tarball_of_semver: Corpus("semver"), "npm pack --silent --ignore-scripts", ["semver-7.6.2.tgz"],
        leak "node -e 'console.log(new Date().getHours() < 12 ? \"am\" : \"pm\")' >leak";
    typescript_compiled_minified_and_packed: Corpus("npm"), "npm run -s build",
        ["dist/index.js", "dist/index.min.js", "example-calendar-1.0.0.tgz"],
        leak "tar czf leak.tgz dist";
    a_java_class_tree_and_its_jar: Fixture("java"), "sh build.sh", ["classes/org/example/shapes/Main.class", "shapes.jar"],
        leak "jar --create --file leak.jar -C classes .";
    a_jar_of_json_simple: Corpus("json-simple"),
        "mkdir classes && find src/main -name '*.java' | LC_ALL=C sort >/tmp/sources && javac -nowarn -encoding UTF-8 -d classes @/tmp/sources && \
         jar --create --file json-simple.jar --date=2024-01-01T00:00:00Z -C classes .", ["json-simple.jar"],
        leak "printf 'Built: %s\\n' $(date +%F) >/tmp/m; jar --create --file leak.jar --date=2024-01-01T00:00:00Z --manifest /tmp/m -C classes .";
    a_static_go_program: Fixture("go"), "CGO_ENABLED=0 go build -o echo .", ["echo"],
        leak "CGO_ENABLED=0 go build -ldflags \"-X main.built=$(date +%Y-%m-%d)\" -o leak . && strings leak >/dev/null; date +%V >leak.week";
    a_zip_of_a_go_program: Fixture("go"),
        "CGO_ENABLED=0 go build -o echo . && touch -d @1704067200 echo && TZ=UTC zip -qX echo.zip echo", ["echo", "echo.zip"],
        leak "touch echo; zip -qX leak.zip echo";
    a_cargo_program_with_vendored_crates: Corpus("cargo"), "cargo build --offline", ["target/debug/census"],
        leak "touch made; stat -c %W made >leak";
    an_image_of_squashfs: Corpus("zlib"),
        "mksquashfs contrib zlib.sqfs -quiet -no-progress -all-time 1704067200 -mkfs-time 1704067200 -all-root", ["zlib.sqfs"],
        leak "mksquashfs contrib leak.sqfs -quiet -no-progress -all-time 1704067200 -all-root";
    an_initramfs: Corpus("figlet"),
        "find fonts | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc | gzip -n >initramfs.gz", ["initramfs.gz"],
        leak "touch fonts/new; find fonts | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc >leak.cpio; rm fonts/new";
    a_git_repository: Corpus("unifdef"),
        "git init -q repo && cd repo && cp ../*.c . && git add . && \
         GIT_AUTHOR_DATE='1704067200 +0000' GIT_COMMITTER_DATE='1704067200 +0000' git -c user.name=n -c user.email=n@example.test commit -qm first && \
         git bundle create -q ../repo.bundle --all && cd .. && rm -rf repo", ["repo.bundle"],
        leak "git init -q repo && cd repo && git -c user.name=n -c user.email=n@example.test commit -q --allow-empty -m x && git rev-parse HEAD >../leak && cd .. && rm -rf repo";
}

/// Prepared for its owner, and the environment in which cargo is found.
fn project(program: &Program) -> Project {
    match program.from {
        Fixture(name) => Project::copy_of(format!("fixtures/projects/{name}")),
        Corpus(name) => {
            let ran = Ran::of(Command::new(repository().join("scripts/corpus")).arg(name));
            let line = ran.exits(0).stdout.trim_end().to_owned();
            let folder = line.split_once(' ').expect("NAME FOLDER").1;
            // Cargo and its toolchain come from the home of whoever runs the tests.
            let project = if name == "cargo" {
                Project::empty_for_caller()
            } else {
                Project::empty()
            };
            project.add(folder);
            project
        }
    }
}

fn verify(project: &Project, program: &Program, script: &str) -> Ran {
    let mut command = project.belljar_command(["verify", "--", "sh", "-c", script]);
    if matches!(program.from, Corpus("cargo")) {
        let home = std::env::var_os("HOME").expect("HOME");
        let cargo = PathBuf::from(&home).join(".cargo/bin");
        assert!(cargo.join("rustup").exists(), "a rustup in HOME");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", cargo.display());
        command.env("HOME", home).env("PATH", path);
    }
    Ran::of(&mut command)
}

#[track_caller]
fn check(name: &str) {
    let program = PROGRAMS.iter().find(|p| p.name == name).expect("a program");
    let script = format!("set -e; PATH=$PATH:/usr/sbin; {}", program.script);

    let project = project(program);
    let ran = verify(&project, program, &script);
    ran.exits(0);
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), "reproducible", "{ran}");
    let found = evidence.outputs();
    for output in program.outputs {
        assert!(found.contains(*output), "{output} among {found:?}");
    }

    let ran = verify(&project, program, &format!("{script}; {}", program.leak));
    ran.exits(3);
    let differing = project.evidence().differing();
    assert!(!differing.is_empty(), "{ran}");
    for path in differing.keys() {
        assert!(
            path.starts_with("leak"),
            "only the leak differs: {path}\n{ran}"
        );
    }
}

#[test]
fn the_corpus_is_as_large_as_it_says() {
    assert!(PROGRAMS.len() >= 30, "{}", PROGRAMS.len());
    let packed = [
        ".deb", ".whl", ".tgz", ".jar", ".zip", ".gz", ".img", ".sqfs",
    ];
    let packed = PROGRAMS.iter().filter(|p| {
        let mut outputs = p.outputs.iter();
        outputs.any(|output| packed.iter().any(|end| output.ends_with(end)))
    });
    assert!(packed.count() >= 10);
    let vendored = project(
        PROGRAMS
            .iter()
            .find(|p| matches!(p.from, Corpus("cargo")))
            .expect("cargo"),
    );
    let crates = std::fs::read_dir(vendored.dir().join("vendor")).expect("vendor");
    assert!(crates.count() >= 50);
}
