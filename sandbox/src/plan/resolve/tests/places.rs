//! Where things are, and where they can't be.

use super::*;

#[test]
fn the_build_starts_in_the_same_folder_below_the_toplevel() {
    let r = resolved(|r| r.workdir = "sub".into()).unwrap();
    assert_eq!(r.host.root, Path::new("/home/ada/app"));
    assert_eq!(r.plan.cwd, "sub".into());
    assert_eq!(r.workdir, Path::new("/home/ada/app/sub"));
    let r = resolved(|r| {
        r.workdir = "sub".into();
        r.root = Some("sub".into());
        r.evidence = "/home/ada/out".into();
    });
    let r = r.unwrap();
    assert_eq!(
        (r.host.root.as_path(), &r.plan.cwd),
        (Path::new("/home/ada/app/sub"), &"".into())
    );
    assert_eq!(r.host.hidden, Vec::<PathBuf>::new());
}

#[test]
fn a_home_folder_under_git_is_not_shown_whole() {
    let mut view = host();
    view.add("/home/ada/.git/HEAD", "ref");
    view.add("/home/ada/plain/x", "");
    let r = on(&view, &MadeUp::caller(&[]), |r| {
        r.workdir = "/home/ada/plain".into();
    })
    .unwrap();
    assert_eq!(r.host.root, Path::new("/home/ada/plain"));
    assert!(
        r.notices[0].contains("the workdir alone"),
        "{:?}",
        r.notices
    );
}

#[test]
fn a_git_folder_that_lies_elsewhere_is_found() {
    let mut view = host();
    view.add(
        "/home/ada/tree/.git",
        "gitdir: /home/ada/app/.git/worktrees/tree\n",
    );
    view.add("/home/ada/app/.git/worktrees/tree/HEAD", "ref");
    view.add("/home/ada/app/.git/worktrees/tree/commondir", "../..\n");
    view.add("/home/ada/module/.git", "gitdir: ../app/.git/modules/m");
    view.add("/home/ada/app/.git/modules/m/HEAD", "ref");
    view.add("/home/ada/linked/.git", "-> ../app/.git");
    view.add("/home/ada/lost/.git", "gitdir: /nowhere");
    let gitdir = |dir: &str| {
        let r = on(&view, &MadeUp::caller(&[]), |r| r.workdir = dir.into()).unwrap();
        assert_eq!(r.host.root, Path::new(dir));
        r.host.gitdir
    };
    let app = Path::new("/home/ada/app/.git");
    assert_eq!(gitdir("/home/ada/tree").as_deref(), Some(app));
    assert_eq!(gitdir("/home/ada/module"), Some(app.join("modules/m")));
    assert_eq!(gitdir("/home/ada/linked").as_deref(), Some(app));
    assert_eq!(gitdir("/home/ada/lost"), None);
}

#[test]
fn what_can_not_be_a_workdir_or_a_root() {
    let unusable = |what, path: &str, errno| PlanError::Unusable {
        what,
        path: path.into(),
        errno,
    };
    let system = |what, path: &str| PlanError::System {
        what,
        path: path.into(),
    };
    let workdir = |path: &str| resolved(|r| r.workdir = path.into()).unwrap_err();
    assert_eq!(
        workdir("nowhere"),
        unusable("workdir", "nowhere", Errno::ENOENT)
    );
    assert_eq!(workdir(""), unusable("workdir", "", Errno::ENOENT));
    assert_eq!(
        workdir("sub/Makefile"),
        unusable("workdir", "sub/Makefile", Errno::ENOTDIR)
    );
    for path in ["/", "/..", "/usr", "/etc", "/home", "../../.."] {
        assert!(matches!(workdir(path), PlanError::System { .. }), "{path}");
    }
    let root = |path: &str| resolved(|r| r.root = Some(path.into())).unwrap_err();
    assert_eq!(root("/"), system("root", "/"));
    assert!(matches!(root("sub"), PlanError::Outside { .. }));
}

#[test]
fn where_evidence_can_not_go() {
    let evidence = |path: &str| {
        resolved(|r| {
            r.workdir = "sub".into();
            r.evidence = path.into();
        })
    };
    for path in [
        ".",
        "..",
        "/home/ada/app",
        "sub",
        "sub/..",
        "/",
        "/home",
        "sub/../../app",
    ] {
        let e = evidence(path).unwrap_err();
        assert!(matches!(e, PlanError::EvidenceAbove { .. }), "{path}: {e}");
    }
    for path in ["sub/Makefile", "sub/Makefile/x", "new/../../x"] {
        assert!(
            matches!(evidence(path), Err(PlanError::Unusable { .. })),
            "{path}"
        );
    }
    let hidden = |path: &str| evidence(path).unwrap().host.hidden;
    assert_eq!(hidden("artifacts"), [Path::new("artifacts")]);
    assert_eq!(hidden("sub/new/er"), [Path::new("sub/new/er")]);
    assert_eq!(hidden("../out"), Vec::<PathBuf>::new());
    let mut view = host();
    view.add("/home/ada/app/link", "-> .");
    view.add("/home/ada/app/lost", "-> /nowhere");
    let linked = |path: &str| on(&view, &MadeUp::caller(&[]), |r| r.evidence = path.into());
    assert!(matches!(
        linked("link"),
        Err(PlanError::EvidenceAbove { .. })
    ));
    assert!(matches!(linked("lost"), Err(PlanError::Unusable { .. })));
    assert_eq!(linked("link/out").unwrap().host.hidden, [Path::new("out")]);
}

#[test]
fn scratch_is_never_in_the_source() {
    let mut view = host();
    view.add("/var/tmp/project/x", "");
    let at = |view: &MadeUp, root: &str, scratch: Option<&str>| {
        on(view, &MadeUp::caller(&[]), |r| {
            r.workdir = root.into();
            r.scratch = scratch.map(Into::into);
            r.evidence = "/home/ada/out".into();
        })
        .map(|r| r.host.scratch)
    };
    assert_eq!(
        at(&view, "/var/tmp/project", None).unwrap(),
        Path::new("/var/tmp")
    );
    let inside = at(&view, "/var/tmp", Some("/var/tmp/project"));
    assert!(matches!(inside, Err(PlanError::ScratchInside { .. })));
    assert_eq!(at(&view, "/var/tmp", None).unwrap(), Path::new("/tmp"));
    view.read_only = vec!["/tmp".into(), "/home/ada".into()];
    assert!(matches!(
        at(&view, "/var/tmp", None),
        Err(PlanError::NoScratch { .. })
    ));
    let read_only = at(&view, "/home/ada/app", Some("/home/ada"));
    assert!(matches!(
        read_only,
        Err(PlanError::Unusable {
            errno: Errno::EACCES,
            ..
        })
    ));
}

#[test]
fn paths_that_are_asked_for() {
    let mut view = host();
    view.add("/srv/tools/bin/", "");
    view.add("/srv/link", "-> tools");
    view.add("/srv/root", "-> /");
    let ro = |path: &str| on(&view, &MadeUp::caller(&[]), |r| r.ro = vec![path.into()]);
    let entry = |path: &str| {
        let r = ro(path).unwrap();
        r.host
            .entries
            .into_iter()
            .find(|e| e.reason.contains("--ro"))
            .unwrap()
    };
    assert_eq!(entry("/srv/tools").target, "/srv/tools".into());
    let link = entry("/srv/./link/");
    assert_eq!(link.target, "/srv/link".into());
    assert_eq!(
        link.kind,
        HostEntryKind::Bind {
            source: "/srv/tools".into()
        }
    );
    for path in [
        "/",
        "/srv/root",
        "/proc",
        "/etc",
        "/home",
        "/home/builder",
        "/srv/../etc",
        "/dev/null",
    ] {
        assert!(
            matches!(
                ro(path),
                Err(PlanError::Ro { .. } | PlanError::Unusable { .. })
            ),
            "{path}"
        );
    }
    assert!(matches!(
        ro("/nowhere"),
        Err(PlanError::Unusable {
            errno: Errno::ENOENT,
            ..
        })
    ));
}
