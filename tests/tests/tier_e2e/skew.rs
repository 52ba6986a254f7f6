//! `--skew`: how far run B's clock is moved, what can't be asked for, and what the evidence keeps of it.

use std::process::Command;

use belljar_tests::{Project, Ran};

use crate::{small, verify};

/// A build that tells the clock to the second, and goes on.
const TELL: &str = "date +%s; echo done >out";

fn now() -> i64 {
    let ran = Ran::of(Command::new("date").arg("+%s"));
    ran.stdout.trim_end().parse().expect("seconds")
}

/// What run B's clock showed, by its own log.
fn b_told(project: &Project) -> i64 {
    let log = project.evidence().text("logs/b.log");
    log.lines()
        .next()
        .expect("a line")
        .parse()
        .expect("seconds")
}

/// Runs B by this skew, which moves the clock by about `want` seconds, and lets nothing else show it.
#[track_caller]
fn moves_by(skew: &str, want: impl Fn(i64) -> i64) {
    let project = small();
    // inputs of long ago, so that the past is there to go to
    let touched = project
        .command("touch")
        .args(["-d", "2001-01-01", "."])
        .arg("source.txt")
        .status();
    assert!(touched.expect("touch starts").success());
    let before = now();
    let ran = verify(&project, &[&format!("--skew={skew}")], TELL);
    let after = now();
    ran.exits(0);
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), "reproducible", "{ran}");
    assert_eq!(evidence.result["variations"]["varied"][0], "time");
    let clock = &evidence.result["runs"][1]["clock"];
    let readers = clock["readers"].as_object().expect("readers");
    assert!(clock["moved"] == true && readers.len() > 3, "{clock}");
    assert!(readers.values().all(|seen| seen == true), "{clock}");
    let told = b_told(&project);
    assert!(
        want(before) - 1 <= told && told <= want(after) + (after - before) + 1,
        "{skew}: {told}, between {before} and {after}\n{ran}"
    );
    // the offset is a fact of the moment, and it is the one that was had
    let offset = evidence.result["when"]["offset_s"]
        .as_i64()
        .expect("an offset");
    assert!(
        (told - offset - before).abs() <= after - before + 1,
        "{offset}"
    );
}

#[test]
fn a_duration_moves_the_clock_by_itself() {
    moves_by("400d", |now| now + 400 * 86_400);
    moves_by("+1h30m", |now| now + 5400);
}

#[test]
fn a_short_skew_is_seen_too() {
    moves_by("1s", |now| now + 1);
}

#[test]
fn the_past_can_be_had_where_no_input_is_newer() {
    moves_by("-3h", |now| now - 3 * 3600);
    moves_by("-2y", |now| now - 2 * 365 * 86_400);
}

#[test]
fn a_date_is_where_run_b_starts() {
    moves_by("2038-01-20", |_| 2_147_558_400);
    moves_by("2040-02-29T13:14:15+02:00", |_| 2_214_126_855);
    // the last one that there is
    moves_by("2241-12-31T23:00:00Z", |_| 8_583_490_800);
}

#[test]
fn auto_changes_every_part_of_the_date() {
    let project = small();
    let script = "date -u '+%Y %m %d %u %H %M %S %p %V'; echo done >out";
    verify(&project, &[], script).exits(0);
    let evidence = project.evidence();
    let parts = |log: &str| -> Vec<String> {
        let text = evidence.text(log);
        let line = text.lines().next().expect("a line");
        line.split(' ').map(str::to_owned).collect()
    };
    // A's line may come a second after A's start, for which alone the rule speaks
    for (part, (a, b)) in parts("logs/a.log")
        .iter()
        .zip(parts("logs/b.log"))
        .enumerate()
    {
        assert!(*a != b || part == 6 || part == 5, "part {part}: {a}");
    }
    let plan = &evidence.result["plan"]["clock"]["skew"];
    assert_eq!(*plan, serde_json::json!({"rule": "auto"}));
    assert!(evidence.result["when"]["offset_s"].as_i64() > Some(300 * 86_400));
}

#[test]
fn the_plan_holds_the_rule_and_no_fact_of_the_moment() {
    let project = small();
    let digest = |skew: &str| {
        verify(&project, &[&format!("--skew={skew}")], TELL).exits(0);
        project.evidence().result["plan_digest"].clone()
    };
    let auto = digest("auto");
    assert_eq!(auto, digest("auto"));
    assert_ne!(auto, digest("400d"));
    // one rule in two spellings is one rule
    assert_eq!(digest("90m"), digest("1h30m"));
    assert_eq!(digest("2038-01-20"), digest("2038-01-20T01:00:00+01:00"));
}

#[test]
fn belljar_toml_has_the_same_key() {
    let project = small();
    project.write("belljar.toml", "skew = \"2038-01-20\"\n");
    verify(&project, &[], TELL).exits(0);
    assert!((2_147_558_400..2_147_558_500).contains(&b_told(&project)));
    project.write("belljar.toml", "skew = \"500ms\"\n");
    let ran = verify(&project, &[], TELL);
    ran.exits(2);
    assert!(ran.stderr.contains("one second or more"), "{ran}");
}

#[test]
fn a_clock_before_the_newest_input_is_refused_before_anything_is_built() {
    let project = small();
    project.write("sub/newest.c", "int main;\n");
    let touched = project
        .command("touch")
        .args(["-d", "2020-02-03T04:05:06Z", ".", "sub", "source.txt"])
        .status();
    assert!(touched.expect("touch starts").success());
    let touched = project
        .command("touch")
        .args(["-d", "2021-02-03T04:05:06Z", "sub/newest.c"])
        .status();
    assert!(touched.expect("touch starts").success());
    for skew in ["-30y", "2021-02-03T04:05:05Z"] {
        let ran = verify(&project, &[&format!("--skew={skew}")], "echo ran");
        ran.exits(2);
        assert!(
            ran.stdout.is_empty() && !ran.stderr.contains("ran\n"),
            "{ran}"
        );
        for said in [
            "before the newest input",
            "sub/newest.c",
            "2021-02-03T04:05:06Z",
            "touch",
        ] {
            assert!(ran.stderr.contains(said), "{said}\n{ran}");
        }
        assert_eq!(ran.own_lines().len(), 1, "{ran}");
        assert!(!project.dir().join("artifacts/result.json").exists());
    }
    verify(&project, &["--skew=2021-02-03T04:05:06Z"], TELL).exits(0);
}

/// Inputs of the future are no reason to refuse by itself: `auto` goes on behind them.
#[test]
fn auto_goes_behind_an_input_of_the_future() {
    let project = small();
    let touched = project
        .command("touch")
        .args(["-d", "2050-06-01", "source.txt"])
        .status();
    assert!(touched.expect("touch starts").success());
    verify(&project, &[], TELL).exits(0);
    let (told, newest) = (b_told(&project), 2_537_654_400);
    assert!(told >= newest && told < newest + 90 * 86_400, "{told}");
}

#[test]
fn what_can_not_be_counted_is_refused_by_one_sentence() {
    let project = small();
    let cases = [
        ("0d", "one second or more"),
        ("-500ms", "one second or more"),
        ("300y", "1970 to 2241"),
        ("2242-01-01", "1970 to 2241"),
        ("99999999999999999999y", "1970 to 2241"),
        // fine by itself, and past the end on top of today
        ("270y", "1970 to 2241"),
        ("tomorrow", "no duration and no date"),
        ("1h30", "no duration and no date"),
    ];
    for (skew, why) in cases {
        let ran = verify(&project, &[&format!("--skew={skew}")], "echo ran");
        ran.exits(2);
        assert!(ran.stderr.contains(why), "{skew}: {ran}");
        assert!(ran.stdout.is_empty(), "{ran}");
        assert_eq!(ran.own_lines().len(), 1, "{ran}");
    }
}
