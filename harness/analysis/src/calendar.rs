//! Names of days and moments. The moment comes from the one place that reads a clock.

/// The day of a moment, UTC: `2026-11-28`.
#[must_use]
pub fn day(seconds_since_1970: u64) -> String {
    let mut left = seconds_since_1970 / 86_400;
    let leaps = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while left >= 365 + u64::from(leaps(year)) {
        left -= 365 + u64::from(leaps(year));
        year += 1;
    }
    let february = 28 + u64::from(leaps(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", left + 1)
}

/// A moment, UTC, to the second: `2026-11-28 13:05:09`.
#[must_use]
pub fn moment(seconds_since_1970: u64) -> String {
    let second = seconds_since_1970 % 86_400;
    let day = day(seconds_since_1970);
    format!("{day} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_its_day_and_its_time_of_day() {
        assert_eq!(moment(951_782_400 + 13 * 3600 + 5 * 60 + 9), "2000-02-29 13:05:09");
        assert_eq!(moment(86_399), "1970-01-01 23:59:59");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, name) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_603_200, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(day(seconds), name, "{seconds}");
        }
    }
}
