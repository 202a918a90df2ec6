//! README and the book of `docs/`: every block of commands is in one class and is held to it, every page stands in the
//! table of contents, every link leads somewhere.
//!
//! The fence of a block says its class: `sh,run` (runs here, line by line, and ends with 0), `console,run` (the same, and
//! prints what is shown), `sh,parsed,REASON` (too long, or in need of what is not here: its commands are parsed),
//! `LANGUAGE,file=NAME` (lies in the folder for the blocks after it). Not `trycmd`: it knows no block that is parsed
//! only, no store that pages share, and no ids that differ from run to run.

mod blocks;
mod commands;
mod links;
mod shown;

use std::fs;
use std::path::Path;

use blocks::{Block, Class, REASONS, blocks, class, pages};
use data::columns::write_npy;

use crate::support::{Bench, Output, output, root};

/// Stands for a suite of the repository, under its name: two arms, two epochs, well under a second.
fn small(name: &str, batch: u32) -> String {
    format!(
        "\
suite: {name}
question: Does it run?
workloads: [{{ workload: digits-mlp, epochs: 2, evaluate_every: 1, target: {{ value: 0.5, origin: chance }} }}]
seeds: 2
baseline: sgd
settings: {{ batch_size: {batch} }}
arms:
  - {{ method: sgd, as: sgd, with: {{ lr: 0.05 }} }}
  - {{ method: adamw, as: adamw, with: {{ lr: 0.002 }} }}
"
    )
}

/// Three looks of two arms under five seeds, as `import` reads them.
fn logs() -> String {
    let mut text = "arm,seed,samples,seconds,metric,value\n".to_owned();
    for (arm, rate) in [("adam", 4.0), ("sgd", 2.0)] {
        for (seed, look) in (0..5).flat_map(|seed| (0..=20).map(move |look| (seed, look))) {
            let (share, luck) = (f64::from(look) / 20.0, 1.0 + 0.01 * f64::from(seed));
            let value = 1.0 - (-rate * luck * share * 2.0).exp();
            text +=
                &format!("{arm},{seed},{},{},accuracy,{value:.6}\n", look * 25_000, 40.0 * share);
        }
    }
    text
}

/// What every page finds in its folder: small suites, a store with a run of one, an order with scores, a log.
fn furnished() -> Bench {
    let bench = Bench::new();
    for (name, batch) in [("digits", 32), ("blobs", 48)] {
        bench.write(&format!("suites/{name}.yaml"), &small(name, batch));
    }
    bench.write("logs.csv", &logs());
    let order: Vec<u32> = (0..400).map(|place| (place * 77 + 13) % 400).collect();
    let mut scores = vec![0.0; order.len()];
    for (place, id) in (0_u32..).zip(&order) {
        scores[*id as usize] = f64::from(*id * 53 % 211) / 211.0 - 0.004 * f64::from(place);
    }
    let (mut ids, mut losses) = (Vec::new(), Vec::new());
    write_npy(&mut ids, &order).unwrap();
    write_npy(&mut losses, &scores).unwrap();
    fs::write(bench.path("order.npy"), ids).unwrap();
    fs::write(bench.path("scores.npy"), losses).unwrap();
    bench.run(&["run", "digits", "--device", "cpu"]).ends(0);
    bench
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let there = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &there);
        } else {
            fs::copy(&path, &there).unwrap();
        }
    }
}

/// A command with RUN, ID and DIGEST in it replaced by a run, a suite run and the head of the index of this folder.
fn filled(bench: &Bench, command: &str) -> String {
    let asked = |arguments: &[&str], at: &str| {
        let found =
            bench.run(arguments).json().pointer(at).and_then(|it| it.as_str().map(str::to_owned));
        found.unwrap_or_else(|| panic!("nothing at {at} of {arguments:?}"))
    };
    let word = |word: &str| match word {
        "RUN" => asked(&["list", "runs", "--json"], "/0/run"),
        "ID" => asked(&["list", "suite-runs", "--json"], "/0/id"),
        "DIGEST" => asked(&["verify", "--json"], "/index/head"),
        _ => word.to_owned(),
    };
    let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut text = String::new();
    let mut rest = command;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| inside(c) != inside(first)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        text += &if inside(first) { word(part) } else { part.to_owned() };
        rest = after;
    }
    text
}

/// A line of a shell, with the program of this build first on PATH.
fn shell(bench: &Bench, line: &str) -> Output {
    let programs = Path::new(env!("CARGO_BIN_EXE_palimpsest")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = bench.prepared("sh", &["-eu", "-c", line]);
    command.env("PATH", format!("{}:{path}", programs.display()));
    output(command)
}

/// What a block shows, and what was found in its place.
fn hold(bench: &Bench, block: &Block) {
    match class(block).unwrap() {
        Class::File(name) => drop(bench.write(name, &block.text)),
        Class::Run => {
            for line in commands::lines(&block.text) {
                let ended = shell(bench, &filled(bench, &line));
                assert_eq!(ended.code, Some(0), "{}: {line}\n{}", block.place(), ended.stderr);
            }
        }
        Class::Shown => {
            for step in shown::steps(&block.text) {
                let ended = shell(bench, &filled(bench, &step.command));
                let place = format!("{}: {}", block.place(), step.command);
                assert_eq!(ended.code, Some(step.code), "{place}\n{}", ended.stderr);
                if let Err(line) = shown::agree(&step.output, &ended.stdout) {
                    panic!("{place}\nshows {line:?}, where this was printed:\n{}", ended.stdout);
                }
            }
        }
        Class::Parsed | Class::Data => {}
    }
}

#[test]
fn every_block_of_every_page_is_in_one_class() {
    let mut reasons = Vec::new();
    let mut refused = Vec::new();
    for block in pages().iter().flat_map(|page| blocks(page)) {
        match class(&block) {
            Ok(Class::Parsed) => reasons.push(block.tags[1].clone()),
            Ok(_) => {}
            Err(why) => refused.push(format!("{}: {why}", block.place())),
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    for (reason, _) in REASONS {
        assert!(reasons.iter().any(|used| used == reason), "no block is parsed for {reason:?}");
    }
}

#[test]
fn every_command_of_a_block_is_one_that_the_program_takes() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for block in pages().iter().flat_map(|page| blocks(page)) {
        let text = match class(&block).unwrap() {
            Class::Run | Class::Parsed => block.text.clone(),
            Class::Shown => shown::steps(&block.text).map(|step| step.command + "\n").collect(),
            Class::File(_) | Class::Data => continue,
        };
        for command in commands::lines(&text).iter().flat_map(|line| commands::simple(line)) {
            seen += 1;
            if let Err(why) = commands::known(&command) {
                wrong.push(format!("{}: {}: {why}", block.place(), command.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 60, "{seen} commands were found");
}

#[test]
fn every_command_within_the_text_has_a_verb_and_options_that_there_are() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for span in blocks::spans(&page).iter().filter(|span| span.starts_with("palimpsest ")) {
            seen += 1;
            if let Err(why) = commands::named(span) {
                wrong.push(format!("{page}: `{span}`: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 60, "{seen} commands were found");
}

/// Runs what every second page says to run, from this one on. Halves, because a test has a time to end.
fn run_every_second_page(from: usize) {
    let runs = |block: &Block| matches!(class(block), Ok(Class::Run | Class::Shown));
    let mut all: Vec<Vec<Block>> = pages().iter().map(|page| blocks(page)).collect();
    all.retain(|blocks| blocks.iter().any(runs));
    assert!(all.len() > 10, "{} pages", all.len());
    let first = furnished();
    for blocks in all.iter().skip(from).step_by(2) {
        let bench = Bench::new();
        copy(&first.path(""), &bench.path(""));
        blocks.iter().for_each(|block| hold(&bench, block));
    }
}

#[test]
fn what_one_half_of_the_pages_says_to_run_runs_and_prints_what_it_shows() {
    run_every_second_page(0);
}

#[test]
fn what_the_other_half_of_the_pages_says_to_run_runs_and_prints_what_it_shows() {
    run_every_second_page(1);
}

#[test]
fn the_table_of_contents_names_every_page_of_the_book_once() {
    let text = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let mut named: Vec<String> =
        links::of(&text).into_iter().map(|link| format!("docs/{link}")).collect();
    named.sort();
    let mut book = pages();
    book.retain(|page| page.starts_with("docs/") && page != "docs/SUMMARY.md");
    assert_eq!(named, book);
}

#[test]
fn every_link_of_a_page_leads_to_a_file_and_a_heading_that_there_are() {
    let broken: Vec<_> = pages().iter().flat_map(|page| links::broken(page)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

// Not in `methods`: cards name pages of the papers' own repositories.
#[test]
fn every_page_of_the_book_that_the_sources_name_is_there() {
    let folders = ["harness", "python", "reports", "scripts", "suites", "tests", "examples"];
    let missing = links::missing_pages(&folders);
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Written by a program, as a whole.
const GENERATED: [&str; 2] = ["docs/claims.md", "docs/forgeries.md"];

#[test]
fn no_page_but_the_generated_ones_is_longer_than_200_lines() {
    for page in pages().iter().filter(|page| page.starts_with("docs/")) {
        let lines = fs::read_to_string(root().join(page)).unwrap().lines().count();
        assert!(lines <= 200 || GENERATED.contains(&page.as_str()), "{page}: {lines} lines");
    }
}

#[test]
fn figures_of_the_book_are_small_and_shown() {
    let gallery = fs::read_to_string(root().join("docs/gallery.md")).unwrap();
    let mut total = 0;
    for entry in fs::read_dir(root().join("docs/figures")).unwrap() {
        let entry = entry.unwrap();
        let (name, bytes) = (entry.file_name(), entry.metadata().unwrap().len());
        assert!(bytes < 150_000, "{}: {bytes} bytes", name.display());
        let link = format!("](figures/{})", name.display());
        assert!(gallery.contains(&link), "docs/gallery.md does not show {}", name.display());
        total += bytes;
    }
    assert!(total < 3_000_000, "{total} bytes");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert_eq!(readme.matches("](docs/figures/").count(), 3, "figures in README.md");
}

#[test]
fn the_readme_says_of_every_suite_how_long_a_seed_takes() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let suites = Bench::new().run(&["list", "suites", "--json"]).ends(0).json();
    let rows = suites.as_array().unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        let takes = match row["takes"]["seconds"].as_u64() {
            Some(seconds) if seconds < 60 => format!("{seconds} s"),
            Some(seconds) => format!("{} min {} s", seconds / 60, seconds % 60),
            None => "not measured".to_owned(),
        };
        let shown = format!("| `{}` | {takes} | ", row["suite"].as_str().unwrap());
        assert!(readme.contains(&shown), "README.md has no row {shown:?}");
    }
}
