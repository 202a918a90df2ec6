//! A log as runs: each a series of looks at one metric, whoever wrote it.

use crate::find::Log;
use crate::wrong::{At, Wrong, listed, quoted};
use crate::{mlflow, table, tensorboard, wandb};

/// Largest count of steps or samples: above it a number of seconds or an id was taken for one.
const MOST: f64 = 1e15;

/// A clock whose first reading is above this is a time of day, in seconds since 1970.
pub(crate) const TIME_OF_DAY: f64 = 1e8;

/// A form that logs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A CSV with a row of names: a column per metric, or columns `metric` and `value`.
    Csv,
    /// Lightning's `metrics.csv`.
    Lightning,
    /// TensorBoard's event files.
    Tensorboard,
    /// Weights & Biases: a CSV exported from a chart, or a run's history as CSV or JSON lines.
    Wandb,
    /// MLflow's folders.
    Mlflow,
}

impl Form {
    /// The name in options, messages and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Lightning => "lightning",
            Self::Tensorboard => "tensorboard",
            Self::Wandb => "wandb",
            Self::Mlflow => "mlflow",
        }
    }
}

/// What is read off a log, where it has several things or calls them otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The metric's name in the log.
    pub metric: String,
    /// The name of the same metric on a test split, of which the last value counts.
    pub test: Option<String>,
    /// What counts samples.
    pub samples: Option<String>,
    /// What counts steps.
    pub step: Option<String>,
    /// What tells the time; `none` for no clock.
    pub clock: Option<String>,
    /// What names the arm.
    pub arm: Option<String>,
    /// What has the seed.
    pub seed: Option<String>,
    /// A run that began again from a checkpoint: later looks replace those that they go back behind.
    pub resumed: bool,
}

impl Wanted {
    /// Whether the clock is to be left out.
    #[must_use]
    pub fn no_clock(&self) -> bool {
        self.clock.as_deref() == Some("none")
    }
}

/// A look at the metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Where it stands in the log.
    pub at: At,
    /// Samples consumed, where the log counts them.
    pub samples: Option<u64>,
    /// Steps taken, where the log counts them.
    pub step: Option<u64>,
    /// Seconds since the log began, where it has a clock.
    pub seconds: Option<f64>,
    /// The metric; not finite where the run had diverged.
    pub value: f64,
}

/// One run of a log.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoggedRun {
    /// What the log calls it, where one log holds several or names its runs.
    pub name: Option<String>,
    /// The arm that the log names.
    pub arm: Option<String>,
    /// The seed that the log names.
    pub seed: Option<String>,
    /// When it began, as a time of day, where the log tells it before the first look.
    pub began: Option<f64>,
    /// Looks, in the log's order; never empty.
    pub looks: Vec<Look>,
    /// The last value on the test split, where one was asked for and the log has it.
    pub tested: Option<f64>,
    /// What a reader must know: a last record that was cut off, a run that its tool calls failed.
    pub notes: Vec<String>,
}

/// What a log was read as.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// Its form.
    pub form: Form,
    /// Its runs.
    pub runs: Vec<LoggedRun>,
}

/// Reads the runs of a log.
///
/// # Errors
/// When the log is not of its form, lacks what is wanted, or has what is no number where one should be.
pub fn read(log: &Log, wanted: &Wanted) -> Result<Read, Wrong> {
    let runs = match log.form {
        Form::Csv | Form::Lightning => table::read(log, wanted),
        Form::Tensorboard => tensorboard::read(log, wanted).map(|run| vec![run]),
        Form::Wandb => wandb::read(log, wanted),
        Form::Mlflow => mlflow::read(log, wanted).map(|run| vec![run]),
    }?;
    let runs = runs.into_iter().map(|run| finished(log, run, wanted));
    Ok(Read { form: log.form, runs: runs.collect::<Result<_, _>>()? })
}

/// The looks of a run checked: there is one, counts go on, the clock goes on from 0.
fn finished(log: &Log, mut run: LoggedRun, wanted: &Wanted) -> Result<LoggedRun, Wrong> {
    let file = log.name.as_str();
    if run.looks.is_empty() {
        let message = format!("metric {} has no value in it", quoted(&wanted.metric));
        return Err(Wrong::of(file, message));
    }
    if wanted.resumed {
        let mut kept: Vec<Look> = Vec::new();
        for look in run.looks {
            while kept.pop_if(|before| counted(before).1 >= counted(&look).1).is_some() {}
            kept.push(look);
        }
        run.looks = kept;
    }
    if wanted.no_clock() {
        run.looks.iter_mut().for_each(|look| look.seconds = None);
    }
    if let Some(first) = run.looks.first().and_then(|look| look.seconds)
        && first > TIME_OF_DAY
    {
        let began = run.began.map_or(first, |began| began.min(first));
        let shift = |look: &mut Look| look.seconds = look.seconds.map(|seconds| seconds - began);
        run.looks.iter_mut().for_each(shift);
    }
    for pair in run.looks.windows(2) {
        let [before, after] = pair else { continue };
        let ((name, earlier), (_, later)) = (counted(before), counted(after));
        let back = |words: &str| {
            format!(
                "{name} {later} after {earlier}: {words}; two runs in one log are told apart by --arm-from and --seed-from, and of one that began again from a checkpoint --resumed keeps the later looks"
            )
        };
        if later < earlier {
            return Err(Wrong::at(file, after.at, back("they go backwards")));
        }
        if later == earlier {
            return Err(Wrong::at(file, after.at, back("two looks at one moment")));
        }
        if let (Some(earlier), Some(later)) = (before.seconds, after.seconds)
            && later <= earlier
        {
            let message = format!(
                "the clock stands at {later} s after {earlier} s: it must go on between looks; --clock names another, and `--clock none` leaves it out"
            );
            return Err(Wrong::at(file, after.at, message));
        }
    }
    let known = run.looks.iter().filter(|look| look.seconds.is_some()).count();
    if known > 0 && known < run.looks.len() {
        let (n, all) = (run.looks.len() - known, run.looks.len());
        let message = format!(
            "{n} of {all} looks have no time; `--clock none` leaves the clock out, --clock names another"
        );
        return Err(Wrong::of(file, message));
    }
    if let Some(look) = run.looks.iter().find(|look| look.seconds.is_some_and(|s| s < 0.0)) {
        let seconds = look.seconds.unwrap_or_default();
        return Err(Wrong::at(
            file,
            look.at,
            format!("the clock stands at {seconds} s: before the log began"),
        ));
    }
    Ok(run)
}

/// What a look counts: samples before steps.
fn counted(look: &Look) -> (&'static str, u64) {
    look.samples.map_or(("step", look.step.unwrap_or_default()), |samples| ("samples", samples))
}

/// A text as a number; what stands for none (`nan`, `inf`) is one that is not finite.
pub(crate) fn number(file: &str, at: At, what: &str, text: &str) -> Result<f64, Wrong> {
    text.trim().parse().map_err(|_| {
        let message = format!("{} has {}, which is no number", quoted(what), quoted(text));
        Wrong::at(file, at, message)
    })
}

/// A number as a count: whole, from 0 up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked before")]
pub(crate) fn count(file: &str, at: At, what: &str, value: f64) -> Result<u64, Wrong> {
    if value.fract() == 0.0 && (0.0..=MOST).contains(&value) {
        return Ok(value as u64);
    }
    let message = format!(
        "{} is {value}, but a count is a whole number from 0 to {MOST:e}; name the right one by --samples-from or --step-from",
        quoted(what)
    );
    Err(Wrong::at(file, at, message))
}

/// Refuses to look for an arm or a seed where this form of log has neither.
pub(crate) fn no_arm_or_seed(file: &str, form: &str, wanted: &Wanted) -> Result<(), Wrong> {
    for (what, name) in [("arm", &wanted.arm), ("seed", &wanted.seed)] {
        let Some(name) = name else { continue };
        let message = format!(
            "{form} has no column, param or tag {} that could name the {what}; leave out --{what}-from: --{what} or --names says it",
            quoted(name)
        );
        return Err(Wrong::of(file, message));
    }
    Ok(())
}

/// That a log lacks a name, with those that it has.
pub(crate) fn lacks<'a>(
    file: &str,
    what: &str,
    name: &str,
    option: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Wrong {
    let message =
        format!("there is no {what} {}; name one by {option}: {}", quoted(name), listed(names));
    Wrong::of(file, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn look(line: u64, samples: u64, seconds: Option<f64>) -> Look {
        Look { at: At::Line(line), samples: Some(samples), step: None, seconds, value: 0.5 }
    }

    fn checked(looks: Vec<Look>, wanted: &Wanted) -> Result<LoggedRun, String> {
        let log = Log { form: Form::Csv, path: PathBuf::from("a.csv"), name: "a.csv".to_owned() };
        let run = LoggedRun { looks, ..LoggedRun::default() };
        finished(&log, run, wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn counts_and_clocks_must_go_on_and_the_line_is_named() {
        let told = |looks| checked(looks, &Wanted::default()).unwrap_err();
        let back = told(vec![look(2, 5, None), look(3, 4, None)]);
        assert!(back.starts_with("a.csv:3: samples 4 after 5: they go backwards"), "{back}");
        let same = told(vec![look(2, 5, None), look(3, 5, None)]);
        assert!(same.contains("two looks at one moment"), "{same}");
        let time = told(vec![look(2, 5, Some(2.0)), look(3, 6, Some(1.0))]);
        assert!(time.contains("a.csv:3: the clock stands at 1 s after 2 s"), "{time}");
        let some = told(vec![look(2, 5, Some(2.0)), look(3, 6, None)]);
        assert!(some.contains("1 of 2 looks have no time"), "{some}");
        assert!(told(vec![look(2, 5, Some(-1.0))]).contains("before the log began"));
        assert!(told(Vec::new()).contains("has no value in it"));
    }

    #[test]
    fn a_run_that_began_again_keeps_its_later_looks_where_that_is_said() {
        let looks = vec![look(2, 5, None), look(3, 9, None), look(4, 5, None), look(5, 8, None)];
        let wanted = Wanted { resumed: true, ..Wanted::default() };
        let kept: Vec<_> = checked(looks, &wanted).unwrap().looks.iter().map(|l| l.at).collect();
        assert_eq!(kept, [At::Line(4), At::Line(5)]);
    }

    #[test]
    fn a_time_of_day_begins_with_the_log_and_a_clock_can_be_left_out() {
        let looks = || vec![look(2, 5, Some(1.7e9)), look(3, 6, Some(1.7e9 + 2.5))];
        let seconds = |wanted: &Wanted| -> Vec<Option<f64>> {
            checked(looks(), wanted).unwrap().looks.iter().map(|look| look.seconds).collect()
        };
        assert_eq!(seconds(&Wanted::default()), [Some(0.0), Some(2.5)]);
        let none = Wanted { clock: Some("none".to_owned()), ..Wanted::default() };
        assert_eq!(seconds(&none), [None, None]);
        let log = Log { form: Form::Csv, path: PathBuf::from("a.csv"), name: "a.csv".to_owned() };
        let run = LoggedRun { looks: looks(), began: Some(1.7e9 - 5.0), ..LoggedRun::default() };
        let run = finished(&log, run, &Wanted::default()).unwrap();
        assert_eq!(run.looks[0].seconds, Some(5.0), "training before the first look counts");
    }
}
