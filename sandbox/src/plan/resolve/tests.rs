use super::*;
use crate::plan::Real;

#[test]
fn the_machine_itself_resolves() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = Request::new(vec!["true".into()]);
    request.workdir = dir.path().into();
    request.evidence = dir.path().join("artifacts");
    let caller = Caller::read().unwrap();
    let resolved = resolve(&request, &caller, &Real).unwrap();
    assert_eq!(resolved.host.hidden, [Path::new("artifacts")]);
    assert!(
        resolved
            .host
            .entries
            .iter()
            .any(|e| e.target.as_bytes() == b"/usr")
    );
}
