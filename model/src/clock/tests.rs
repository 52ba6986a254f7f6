use super::*;
use proptest::prelude::*;

/// The first second of 2100.
const YEAR_2100: i64 = 4_102_444_800;

#[expect(clippy::unnecessary_wraps, reason = "what parsing gives")]
fn by(seconds: i64) -> Result<Skew, SkewError> {
    Ok(Skew::By { seconds })
}

#[expect(clippy::unnecessary_wraps, reason = "what parsing gives")]
fn to(at: &str) -> Result<Skew, SkewError> {
    Ok(Skew::To { at: at.into() })
}

#[test]
fn durations() {
    assert_eq!(Skew::parse("400d"), by(34_560_000));
    assert_eq!(Skew::parse("+400d"), by(34_560_000));
    assert_eq!(Skew::parse("-3h"), by(-10_800));
    assert_eq!(Skew::parse("1h30m"), by(5400));
    assert_eq!(
        Skew::parse("-1y2w3d4h5m6s"),
        by(-(31_536_000 + 1_209_600 + 259_200 + 14_706))
    );
    assert_eq!(Skew::parse("90m"), by(5400));
    assert_eq!(Skew::parse("1500ms500ms"), by(2));
    assert_eq!(Skew::parse("271y"), by(271 * 31_536_000));
}

#[test]
fn dates() {
    assert_eq!(Skew::parse("2030-01-01"), to("2030-01-01T00:00:00Z"));
    assert_eq!(
        Skew::parse("2030-01-01T00:00:00Z"),
        to("2030-01-01T00:00:00Z")
    );
    assert_eq!(
        Skew::parse("2030-01-01T03:00:00+02:00"),
        to("2030-01-01T01:00:00Z")
    );
    assert_eq!(
        Skew::parse("2030-01-01T12:30:00"),
        to("2030-01-01T12:30:00Z")
    );
    assert_eq!(Skew::parse("1970-01-01"), to("1970-01-01T00:00:00Z"));
    assert_eq!(
        Skew::parse("2241-12-31T23:59:59Z"),
        to("2241-12-31T23:59:59Z")
    );
}

#[test]
fn what_is_neither() {
    let neither = [
        "",
        "d",
        "4",
        "4x",
        "+",
        "-",
        "++4d",
        "+-4d",
        "1h30",
        "h1",
        "4 d",
        "1.5h",
        "4D",
        "tomorrow",
        "2030-13-01",
        "2030-02-30",
        "+2030-01-01",
        "2030-01-01T25:00:00Z",
        "2030-01-01[Europe/Berlin]",
        "２d",
        "Auto",
    ];
    for s in neither {
        assert_eq!(Skew::parse(s), Err(SkewError::Syntax), "{s}");
    }
}

#[test]
fn less_than_a_second_is_nothing() {
    for s in [
        "0d",
        "-0s",
        "+0h0m",
        "500ms",
        "-1ns",
        "1500ms",
        "2030-01-01T00:00:00.5Z",
    ] {
        assert_eq!(Skew::parse(s), Err(SkewError::NoSecond), "{s}");
    }
}

#[test]
fn what_nothing_can_count_is_out_of_range() {
    let digits = "9".repeat(60);
    let many = format!("{digits}y");
    let far = [
        "99999999999999999y",
        "-99999999999999999y",
        &many,
        "300y",
        "-300y",
        "2242-01-01",
        "9999-12-31",
        "1969-12-31T23:59:59Z",
        "9223372036854775807s",
    ];
    for s in far {
        assert_eq!(Skew::parse(s), Err(SkewError::OutOfRange), "{s}");
    }
    // each is fine alone, and too much on top of today
    let today = 1_795_000_000;
    for s in ["271y", "-60y"] {
        let skew = Skew::parse(s).unwrap();
        assert_eq!(
            skew.resolve(today, today, 0),
            Err(SkewError::OutOfRange),
            "{s}"
        );
    }
}

/// The last instant fits where the sentence says that it does: eleven octal digits, nanoseconds in 64 bits.
#[test]
fn the_last_year_fits_a_tar_header() {
    let last = YEARS.end - 1;
    assert_eq!(rfc3339(last), "2241-12-31T23:59:59Z");
    let a_run_of_ten_weeks = last + 70 * 86_400;
    assert!(a_run_of_ten_weeks < 1 << 33);
    assert!(a_run_of_ten_weeks.checked_mul(1_000_000_000).is_some());
}

#[test]
fn a_date_that_is_now_moves_nothing() {
    let now = Skew::parse("2030-01-01").unwrap();
    let s = 1_893_456_000;
    assert_eq!(now.resolve(s, s, 0), Err(SkewError::NoSecond));
    assert_eq!(now.resolve(s, s - 1, 0), Ok(1));
}

#[test]
fn inputs_of_the_future_are_refused() {
    let e = Skew::By { seconds: -86_400 }.resolve(1_000_000, 1_000_000, 950_000);
    assert!(matches!(e, Err(SkewError::BeforeInputs { .. })));
    // to the second
    let skew = Skew::By { seconds: -10 };
    assert_eq!(skew.resolve(1_000_000, 1_000_000, 999_990), Ok(-10));
    assert!(skew.resolve(1_000_000, 1_000_000, 999_991).is_err());
}

fn all_parts_differ(a: i64, b: i64) -> bool {
    let (x, y) = (civil_utc(a).unwrap(), civil_utc(b).unwrap());
    days_differ(x.date(), y.date()) && times_differ(a.rem_euclid(86_400), b.rem_euclid(86_400))
}

/// Said once more, by what programs print, so that a mistake in [`days_differ`] can't hide itself.
fn what_is_printed_differs(a: i64, b: i64) -> bool {
    let (a, b) = (civil_utc(a).unwrap(), civil_utc(b).unwrap());
    let parts = |t: civil::DateTime| {
        let week = t.date().iso_week_date();
        [
            format!("year {}", t.year()),
            format!("month {}", t.month()),
            format!("day {}", t.day()),
            format!("weekday {:?}", t.weekday()),
            format!("hour {}", t.hour()),
            format!("minute {}", t.minute()),
            format!("second {}", t.second()),
            format!("half {}", t.hour() / 12),
            format!("week {}", week.week()),
            format!("digits {}", t.day().to_string().len()),
        ]
    };
    parts(a).iter().zip(&parts(b)).all(|(a, b)| a != b)
}

/// Days of 1970 to 2100 in every place of a week and a month, at times all through the day.
#[test]
fn auto_is_found_on_every_day() {
    for day in (0..YEAR_2100 / 86_400).step_by(11) {
        let a = day * 86_400 + day * 7919 % 86_400;
        let off = auto_offset(a, a, a).unwrap();
        assert!(what_is_printed_differs(a, a + off), "{a} {off}");
    }
}

proptest! {
    #[test]
    fn auto_moves_every_part(a in 0..YEAR_2100, later in 0i64..100_000) {
        let b = a + later;
        let off = auto_offset(a, b, a).unwrap();
        prop_assert!(what_is_printed_differs(a, b + off));
        prop_assert!((off - AUTO_TARGET).abs() < 60 * 86_400, "{}", off);
    }

    #[test]
    fn far_moves_every_part(a in 0..YEAR_2100, later in 0i64..100_000) {
        let off = far_offset(a, a + later, a).unwrap();
        prop_assert!(what_is_printed_differs(a, a + later + off));
        prop_assert!((off - FAR_TARGET).abs() < 60 * 86_400, "{}", off);
    }

    #[test]
    fn auto_is_nearest(a in 0..YEAR_2100, later in 0i64..100_000) {
        let b = a + later;
        let off = auto_offset(a, b, a).unwrap();
        let d = (off - AUTO_TARGET).abs();
        // the neighbours, and a sample of what is nearer: none may do
        let step = usize::try_from(d / 500 + 1).unwrap();
        for nearer in (0..d).step_by(step).chain((d - 100).max(0)..d) {
            for candidate in [AUTO_TARGET + nearer, AUTO_TARGET - nearer] {
                prop_assert!(!all_parts_differ(a, b + candidate), "{} is nearer than {}", candidate, off);
            }
        }
        // a tie goes forward
        if off < AUTO_TARGET {
            prop_assert!(!all_parts_differ(a, b + AUTO_TARGET + d));
        }
    }

    #[test]
    fn auto_is_never_before_the_newest_input(a in 1_500_000_000..YEAR_2100, ahead in -1_000i64..3_000, tod in 0i64..86_400) {
        let newest = a + ahead * 86_400 + tod;
        let off = auto_offset(a, a, newest).unwrap();
        prop_assert!(a + off >= newest);
        prop_assert!(what_is_printed_differs(a, a + off));
    }

    #[test]
    fn durations_add_up(neg: bool, d in 0i64..40_000, h in 0i64..100, m in 0i64..100, s in 1i64..100) {
        let text = format!("{}{d}d{h}h{m}m{s}s", if neg { "-" } else { "+" });
        let sum = d * 86_400 + h * 3600 + m * 60 + s;
        prop_assert_eq!(Skew::parse(&text), by(if neg { -sum } else { sum }));
    }

    #[test]
    fn a_date_is_where_run_b_starts(at in 1_800_000_000..YEARS.end, now in 1_500_000_000i64..1_800_000_000) {
        let skew = Skew::parse(&rfc3339(at)).unwrap();
        prop_assert_eq!(skew.resolve(now, now, now), Ok(at - now));
        // the plan holds the rule, and reads it back
        let kept = serde_json::to_string(&skew).unwrap();
        prop_assert_eq!(serde_json::from_str::<Skew>(&kept).unwrap(), skew);
    }

    #[test]
    fn no_text_is_a_panic(s in "[-+]?[0-9smhdwyn:TZ.+-]{0,40}|\\PC*", a: i64, b: i64, newest: i64) {
        if let Ok(skew) = Skew::parse(&s) {
            let _ = skew.resolve(a / 4, b / 4, newest / 4);
        }
    }
}
