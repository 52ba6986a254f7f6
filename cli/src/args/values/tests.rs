use std::time::Duration;

use belljar_model::Layer;
use proptest::prelude::*;

use super::*;

#[test]
fn sizes() {
    for (s, n) in [
        ("1", 1),
        ("7B", 7),
        ("64K", 65_536),
        ("512M", 512 << 20),
        ("4G", 4 << 30),
        ("4gib", 4 << 30),
        ("2T", 2 << 40),
    ] {
        assert_eq!(s.parse(), Ok(Size(n)), "{s}");
    }
    for s in [
        "",
        "G",
        "-1G",
        "+1G",
        "1.5G",
        "0",
        "0M",
        "4Q",
        "4 G",
        " 4G",
        "8388608T",
        "99999999999999999999",
        "1e9",
        "٤G",
    ] {
        assert!(s.parse::<Size>().is_err(), "{s}");
    }
}

#[test]
fn processors() {
    for (s, n) in [
        ("2", 2000),
        ("0.5", 500),
        ("1.25", 1250),
        ("0.01", 10),
        ("64", 64_000),
    ] {
        assert_eq!(s.parse(), Ok(Cpus(n)), "{s}");
    }
    for s in [
        "", "0", "0.0", "0.001", "-1", "+1", ".5", "1.", "1.2345", "1e3", "inf", "NaN", "4294968",
        "two",
    ] {
        assert!(s.parse::<Cpus>().is_err(), "{s}");
    }
}

#[test]
fn durations() {
    for (s, ms) in [
        ("30m", 1_800_000),
        ("1h30m", 5_400_000),
        ("90s", 90_000),
        ("500ms", 500),
        ("1d2h", 93_600_000),
        ("1s500ms", 1500),
    ] {
        assert_eq!(s.parse(), Ok(WallTime(Duration::from_millis(ms))), "{s}");
    }
    for s in [
        "",
        "30",
        "m",
        "-3m",
        "3x",
        "1m1h",
        "1m2m",
        "0s",
        "1.5h",
        "99999999999999999999s",
        "36501d",
        "1 h",
    ] {
        assert!(s.parse::<WallTime>().is_err(), "{s}");
    }
}

#[test]
fn requirements() {
    assert_eq!(
        "landlock=6".parse(),
        Ok(Requirement {
            layer: Layer::Landlock,
            level: Some("6".into())
        })
    );
    assert_eq!(
        "cgroup".parse(),
        Ok(Requirement {
            layer: Layer::Cgroup,
            level: None
        })
    );
    for s in [
        "",
        "landlok",
        "landlock=",
        "landlock=0",
        "landlock=six",
        "seccomp=2",
        "=6",
    ] {
        assert!(s.parse::<Requirement>().is_err(), "{s}");
    }
    assert!(
        "landlok"
            .parse::<Requirement>()
            .unwrap_err()
            .contains("did you mean `landlock`")
    );
}

#[test]
fn variations_that_have_no_engine_are_named() {
    assert!("time".parse::<Vary>().is_ok() && "all".parse::<Vary>().is_ok());
    assert!(
        "time,locale"
            .parse::<Vary>()
            .unwrap_err()
            .contains("`locale`")
    );
    assert!(
        "all,-kernel"
            .parse::<Vary>()
            .unwrap_err()
            .contains("`-kernel`")
    );
    assert!("".parse::<Vary>().is_err());
}

#[test]
fn variables() {
    assert_eq!(
        "A=b=c".parse(),
        Ok(EnvPair {
            name: "A".into(),
            value: "b=c".into()
        })
    );
    for s in ["A", "=b", "A B=c", ""] {
        assert!(s.parse::<EnvPair>().is_err(), "{s}");
    }
}

#[test]
fn a_skew_of_nothing_is_refused() {
    assert!("0d".parse::<SkewRule>().is_err());
    assert!("auto".parse::<SkewRule>().is_ok());
}

proptest! {
    #[test]
    fn nothing_panics(s in "\\PC*") {
        let _ = s.parse::<Size>();
        let _ = s.parse::<Cpus>();
        let _ = s.parse::<WallTime>();
        let _ = s.parse::<Count>();
        let _ = s.parse::<EnvPair>();
        let _ = s.parse::<Requirement>();
        let _ = s.parse::<Vary>();
        let _ = s.parse::<SkewRule>();
        let _ = s.parse::<DateEpoch>();
        let _ = s.parse::<CacheName>();
    }

    #[test]
    fn sizes_mean_what_they_say(n in 1u64..1 << 20, unit in 0usize..5) {
        let (suffix, shift) = [("", 0), ("K", 10), ("M", 20), ("G", 30), ("T", 40)][unit];
        prop_assert_eq!(format!("{n}{suffix}").parse(), Ok(Size(n << shift)));
    }

    #[test]
    fn what_is_negative_is_refused(n in 1u64.., unit in "[KMGTsmhd]?") {
        let s = format!("-{n}{unit}");
        prop_assert!(s.parse::<Size>().is_err());
        prop_assert!(s.parse::<WallTime>().is_err());
        prop_assert!(s.parse::<Cpus>().is_err());
        prop_assert!(s.parse::<Count>().is_err());
    }

    #[test]
    fn processors_in_thousandths(milli in 10u32..4_000_000) {
        let s = format!("{}.{:03}", milli / 1000, milli % 1000);
        prop_assert_eq!(s.parse(), Ok(Cpus(milli)));
    }

    #[test]
    fn durations_add_up(h in 0u64..800_000, m in 0u64..60, s in 1u64..60) {
        let text = format!("{h}h{m}m{s}s");
        let want = Duration::from_secs(h * 3600 + m * 60 + s);
        prop_assert_eq!(text.parse(), Ok(WallTime(want)));
    }
}
