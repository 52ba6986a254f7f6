//! The outside that other tests reach for is really there.

use belljar_tests::{Outside, Project, Ran};

#[test]
fn without_a_wall_the_origin_is_reached() {
    // Else a network that leads nowhere would pass for a refusal.
    let outside = Outside::new();
    let project = Project::empty();
    let mut bare = outside.command(&project, "curl");
    bare.args(["-sS", "--fail", "http://files.example/file"]);
    assert!(Ran::of(&mut bare).exits(0).stdout.contains("from outside"));
    assert_eq!(outside.log(), ["HTTP/1.1 GET files.example /file"]);
}
