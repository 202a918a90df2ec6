//! How often every interval covers and every test errs, by simulation: the tables of
//! `docs/statistics.md`.
//!
//!     cargo run --release -p stats --example coverage -- 10000
//!
//! The number is that of simulations a row; names of sections after it print only those. The same
//! arguments print the same text: every row draws from a stream of its own under seed 0.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "an example that prints its tables")]

mod across;
mod law;
mod means;
mod planning;
mod stopping;
mod testing;
mod times;
mod verdicts;

/// Prints one table.
type Section = fn(u32);

const SECTIONS: [(&str, Section); 14] = [
    ("mean", means::mean),
    ("iqm", means::iqm),
    ("geometric", means::geometric),
    ("wilson", times::wilson),
    ("survival", times::survival),
    ("crossing", times::crossing_times),
    ("across", across::across),
    ("level", testing::level),
    ("equivalence", testing::equivalent),
    ("multiple", testing::multiple),
    ("verdicts", verdicts::verdicts),
    ("sequence", planning::sequence),
    ("stopping", stopping::stopping),
    ("planning", planning::planning),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let runs: u32 = arguments.next().map_or(10_000, |runs| runs.parse().expect("a number"));
    let wanted: Vec<String> = arguments.collect();
    for name in &wanted {
        assert!(SECTIONS.iter().any(|(known, _)| known == name), "no section {name:?}");
    }
    for (name, section) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|other| other == name) {
            println!("\n### {name}\n");
            section(runs);
        }
    }
}
