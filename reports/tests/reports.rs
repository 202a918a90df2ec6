//! What `render` leaves on disk, read back as a reader of the report would.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "pages/bitmaps.rs"]
mod bitmaps;
#[path = "pages/browser.rs"]
mod browser;
#[path = "pages/form.rs"]
mod form;
#[path = "../examples/sample/analysis.rs"]
mod sample;

use std::fs;
use std::path::Path;

use analysis::summary::Analysis;
use reports::{Format, ReportError, render};

const FIGURES: [&str; 4] = ["metric-by-time", "metric-by-samples", "time-to-target", "at-budget"];

fn rendered(analysis: &Analysis) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let paths = render(analysis, &Format::ALL, folder.path()).unwrap();
    assert_eq!(paths.first().unwrap().file_name().unwrap(), "index.html");
    assert!(paths.iter().all(|path| path.is_file() && path.starts_with(folder.path())));
    folder
}

fn read(folder: &tempfile::TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

/// The contents of every text element, unescaped.
fn texts(svg: &str) -> Vec<String> {
    svg.split("<text ")
        .skip(1)
        .map(|element| {
            let inner = element.split_once('>').unwrap().1.split_once("</text>").unwrap().0;
            let inner = inner.trim().replace("&lt;", "<").replace("&gt;", ">");
            inner.replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
        })
        .collect()
}

#[test]
fn every_figure_names_every_arm() {
    let analysis = sample::full();
    let folder = rendered(&analysis);
    for figure in FIGURES {
        let texts = texts(&read(&folder, &format!("figures/digits-mlp-{figure}.svg")));
        for arm in &analysis.workloads[0].arms {
            let shown = if arm.label == sample::LONG {
                texts.iter().any(|text| text.starts_with("drop-muon-shift[") && text.contains('…'))
            } else {
                texts.contains(&arm.label)
            };
            assert!(shown, "{figure} lacks {:?}: {texts:?}", arm.label);
        }
    }
}

#[test]
fn sixteen_arms_are_all_named() {
    let analysis = sample::sixteen();
    let folder = rendered(&analysis);
    let texts = texts(&read(&folder, "figures/sixteen-arms-metric-by-samples.svg"));
    for arm in analysis.workloads[0].arms.iter().filter(|arm| arm.label != sample::LONG) {
        assert!(texts.contains(&arm.label), "{:?} is missing: {texts:?}", arm.label);
    }
}

#[test]
fn figures_say_their_target_units_and_who_reached_it() {
    let folder = rendered(&sample::full());
    let svg = |figure: &str| texts(&read(&folder, &format!("figures/digits-mlp-{figure}.svg")));
    let has = |texts: &[String], wanted: &str| {
        assert!(texts.iter().any(|text| text == wanted), "no {wanted:?} in {texts:?}");
    };
    for figure in ["metric-by-time", "metric-by-samples", "at-budget"] {
        has(&svg(figure), "target 0.95");
    }
    has(&svg("metric-by-time"), "train time (s)");
    has(&svg("metric-by-samples"), "samples seen (thousands)");
    has(&svg("at-budget"), "validation accuracy");
    has(&svg("at-budget"), "test accuracy");
    let times = svg("time-to-target");
    for wanted in ["5/5 reached", "3/5 reached", "0/5 reached", "not reached"] {
        has(&times, wanted);
    }
}

#[test]
fn whatever_a_suite_is_its_figures_are_drawn_and_nothing_in_them_is_no_number() {
    for (name, analysis) in sample::hostile() {
        let folder = tempfile::tempdir().unwrap();
        let paths = render(&analysis, &[Format::Svg, Format::Pdf], folder.path()).unwrap();
        assert!(paths.len() >= 8, "{name}: {paths:?}");
        for path in paths.iter().filter(|path| path.extension().unwrap() == "svg") {
            let svg = fs::read_to_string(path).unwrap();
            let size = svg.split_once("viewBox=\"0 0 ").unwrap().1.split_once('"').unwrap().0;
            let size: Vec<i64> = size.split(' ').map(|side| side.parse().unwrap()).collect();
            let svg_paths = svg.replace(" d=\"", " points=\"");
            let paths =
                svg_paths.split(" points=\"").skip(1).filter_map(|rest| rest.split('"').next());
            let places =
                paths.flat_map(|path| path.split(['M', ' ', 'z'])).filter(|it| !it.is_empty());
            for place in places {
                let (x, y) = place.split_once(',').unwrap();
                let inside = [x, y]
                    .into_iter()
                    .zip(&size)
                    .all(|(at, most)| at.parse::<i64>().is_ok_and(|at| (0..=*most).contains(&at)));
                assert!(inside, "{name}: {place} in {} of {size:?}", path.display());
            }
            assert!(svg.len() < 1_500_000, "{name}: {} bytes in {}", svg.len(), path.display());
            assert!(!svg.contains("<b>"), "{name}: {}", path.display());
        }
    }
}

#[test]
fn hostile_label_is_text_everywhere() {
    let folder = rendered(&sample::full());
    let page = read(&folder, "index.html");
    assert_eq!(page.to_lowercase().matches("<script").count(), 2, "the page's data and its script");
    assert!(page.contains("alert(1)"), "the label must still be readable");
    for figure in FIGURES {
        let svg = read(&folder, &format!("figures/digits-mlp-{figure}.svg"));
        assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;"), "{figure}");
    }
    let tex = read(&folder, "tables.tex").replace("\\allowbreak{}", "");
    assert!(tex.contains("\\textless{}script\\textgreater{}alert(1)"), "{tex}");
    let odd = rendered(&sample::extreme());
    assert!(!read(&odd, "index.html").contains("<b>odd"));
}

#[test]
fn page_names_every_arm_claim_cell_and_warning() {
    let analysis = sample::full();
    let page = read(&rendered(&analysis), "index.html");
    let escaped = |text: &str| text.replace('<', "&#60;").replace('>', "&#62;");
    for arm in &analysis.workloads[0].arms {
        assert!(page.contains(&escaped(&arm.label)), "{}", arm.label);
    }
    for claim in &analysis.claims {
        assert!(page.contains(&claim.paper_number) && page.contains(&claim.reason));
        assert!(page.contains(claim.verdict.words()));
    }
    for run in &analysis.runs {
        assert!(page.contains(&run.cell));
        assert!(page.contains(run.parameters.as_deref().unwrap()), "digests are whole in titles");
    }
    assert!(analysis.warnings.iter().all(|warning| page.contains(&escaped(warning))));
    assert!(page.find("Before you believe").unwrap() < page.find("<svg").unwrap());
}

#[test]
fn falling_metric_reads_the_other_way_round() {
    let page = read(&rendered(&sample::loss()), "index.html");
    assert!(page.contains("validation nll ≤ 1.3"));
    assert!(page.contains("+0.0120") && page.contains("needs ≥ +0.005"));
}

#[test]
fn page_loads_nothing_and_runs_nothing_but_its_script() {
    for analysis in [sample::full(), sample::extreme(), sample::provenance(), sample::empty()] {
        let page = read(&rendered(&analysis), "index.html");
        // The one address is the favicon's namespace, a name inside a data: URL, never fetched.
        assert_eq!(page.matches("http://").count() + page.matches("https://").count(), 1);
        assert!(
            page.contains("href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'")
        );
        assert_eq!(page.matches("<script").count(), 2, "the page's data and its script");
        for load in
            [" src=", "url(", "@import", "<iframe", "<object", " onload", "javascript:", "fetch("]
        {
            assert!(!page.contains(load), "{load}");
        }
    }
}

#[test]
fn empty_analysis_gives_a_page_that_says_so() {
    let folder = rendered(&sample::empty());
    assert!(read(&folder, "index.html").contains("Nothing to show yet"));
    assert!(!folder.path().join("figures").exists());
}

#[test]
fn workload_without_arms_and_runs_of_one_point_still_draw() {
    let folder = rendered(&sample::extreme());
    let texts = texts(&read(&folder, "figures/no-arms-metric-by-time.svg"));
    assert!(texts.contains(&"no values recorded".to_owned()), "{texts:?}");
    let single = rendered(&sample::single_seed());
    assert!(read(&single, "index.html").contains("n = 1 seed per arm"));
}

#[test]
fn same_analysis_gives_the_same_bytes() {
    let (first, second) = (rendered(&sample::full()), rendered(&sample::full()));
    for name in ["index.html", "figures/digits-mlp-at-budget.png", "tables.tex", "arms.csv"] {
        let bytes = |folder: &tempfile::TempDir| fs::read(folder.path().join(name)).unwrap();
        assert!(bytes(&first) == bytes(&second), "{name}");
    }
}

#[test]
fn png_has_twice_the_designed_size_and_the_arms_colours() {
    let folder = rendered(&sample::full());
    let file = fs::read(folder.path().join("figures/digits-mlp-time-to-target.png")).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(info.width, 1680);
    // Black for the baseline, then Okabe and Ito's blue, vermillion and green.
    for colour in [[0, 0, 0], [0x00, 0x72, 0xb2], [0xd5, 0x5e, 0x00], [0x00, 0x9e, 0x73]] {
        let count = pixels.chunks_exact(3).filter(|pixel| *pixel == colour).count();
        assert!(count > 100, "{colour:?}: {count} pixels");
    }
}

/// RFC 4180, as strictly as a reader needs.
fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {
                assert_eq!(chars.next(), Some('\n'));
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            c => field.push(c),
        }
    }
    assert!(row.is_empty() && field.is_empty(), "the last line must end");
    rows
}

#[test]
fn csv_reads_back_with_every_arm_and_run() {
    let analysis = sample::full();
    let folder = rendered(&analysis);
    let arms = parse_csv(&read(&folder, "arms.csv"));
    assert!(arms.iter().all(|row| row.len() == arms[0].len()));
    let labels: Vec<&str> = arms.iter().skip(1).map(|row| row[1].as_str()).collect();
    let expected: Vec<&str> =
        analysis.workloads[0].arms.iter().map(|arm| arm.label.as_str()).collect();
    assert_eq!(labels, expected);
    let loss = arms[0].iter().position(|name| name == "test/nll_low").unwrap();
    let low = analysis.workloads[0].arms[0].at_budget["test/nll"].interval.unwrap().low;
    assert_eq!(arms[1][loss].parse::<f64>(), Ok(low));
    let claims = parse_csv(&read(&folder, "claims.csv"));
    let column = |name: &str| claims[0].iter().position(|other| other == name).unwrap();
    for (row, claim) in claims.iter().skip(1).zip(&analysis.claims) {
        assert_eq!(row[column("verdict")], claim.verdict.words());
        assert_eq!(row[column("direction_shown")], claim.direction_shown.to_string());
    }
    let shown = "inconclusive, direction shown";
    let tex = read(&folder, "tables.tex").replace("\\allowbreak{}", "");
    assert!(tex.contains(shown) && read(&folder, "index.html").contains(shown));
    let runs = parse_csv(&read(&folder, "runs.csv"));
    assert_eq!(runs.len(), analysis.runs.len() + 1);
    let time = runs[0].iter().position(|name| name == "time_to_target").unwrap();
    assert_eq!(runs[1][time].parse::<f64>().ok(), analysis.runs[0].time_to_target);
}

#[test]
fn the_table_of_runs_has_every_metric_and_setting_and_that_of_curves_every_point() {
    let mut analysis = sample::full();
    let settings = &mut analysis.workloads[0].arms[0].settings;
    settings.insert("momentum".to_owned(), serde_json::json!(-0.5));
    settings.insert("=bad".to_owned(), serde_json::json!("=1+1"));
    analysis.runs[0].at_target.insert("test/accuracy".to_owned(), 0.5);
    analysis.runs[0].metrics.remove("test/nll");
    let folder = rendered(&analysis);
    let runs = parse_csv(&read(&folder, "runs.csv"));
    assert!(runs.iter().all(|row| row.len() == runs[0].len()));
    let cell = |row: usize, name: &str| {
        let column = runs[0].iter().position(|other| other == name);
        runs[row][column.unwrap_or_else(|| panic!("no {name}"))].clone()
    };
    for (row, run) in (1..).zip(&analysis.runs) {
        for (name, value) in &run.metrics {
            assert_eq!(cell(row, name).parse(), Ok(*value), "{name}");
        }
        assert_eq!(cell(row, "samples").parse().ok(), run.samples);
    }
    assert_eq!(cell(1, "test/nll"), "", "absent is empty");
    assert_eq!(
        (&*cell(1, "at_target:test/accuracy"), &*cell(2, "at_target:test/accuracy")),
        ("0.5", "")
    );
    assert_eq!(cell(1, "setting:momentum"), "-0.5", "a number, and no formula");
    assert!(runs[0].contains(&"setting:=bad".to_owned()));
    assert_eq!(cell(1, "setting:=bad"), "'=1+1");
    let arms = parse_csv(&read(&folder, "arms.csv"));
    let settings = arms[0].iter().position(|name| name == "settings").unwrap();
    let settings: serde_json::Value = serde_json::from_str(&arms[1][settings]).unwrap();
    assert_eq!(settings["momentum"], -0.5);
    let points =
        analysis.workloads[0].arms.iter().map(|arm| arm.by_samples.len() + arm.by_time.len());
    assert_eq!(parse_csv(&read(&folder, "curves.csv")).len(), 1 + points.sum::<usize>());
}

#[test]
fn json_is_the_analysis_itself() {
    let analysis = sample::full();
    let folder = rendered(&analysis);
    let back: Analysis = serde_json::from_str(&read(&folder, "analysis.json")).unwrap();
    assert_eq!(back, analysis);
}

#[test]
fn every_table_row_in_tex_has_its_columns() {
    let tex = read(&rendered(&sample::full()), "tables.tex");
    let rows: Vec<&str> = tex.lines().filter(|line| line.ends_with(" \\\\")).collect();
    assert_eq!(rows.len(), (1 + 12) + (1 + 3));
    for (i, row) in rows.iter().enumerate() {
        let columns = row.replace("\\&", "").matches('&').count() + 1;
        assert_eq!(columns, if i < 13 { 6 } else { 5 }, "{row}");
    }
    assert_eq!(tex.matches('{').count(), tex.matches('}').count());
}

/// The part of a text from `from` up to `to`.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap();
    let length = text[start..].find(to).unwrap();
    &text[start..start + length]
}

#[test]
fn membership_tests_are_a_section_of_the_page() {
    let folder = rendered(&sample::provenance());
    let page = read(&folder, "index.html");
    let section = between(&page, "<h2>Provenance</h2>", "</section>");
    insta::assert_snapshot!(between(section, "<h2>", "<div class=\"figures\">"));
    let count = sample::provenance().membership.len();
    assert_eq!(section.matches("<tr>").count(), 3 + count + 5 * count);
    assert!(section.contains("Tests without a bar (21)"));
    let seeds = between(&page, "id=\"provenance-seeds\"", "</details>");
    assert_eq!(seeds.matches("<tr>").count(), 1 + 5 * count);
    assert!(seeds.contains("<b>not made</b>: stories/elsewhere has not run"));
    assert_eq!(page.matches("href=\"figures/power-").count(), 4);
    assert!(
        page.contains("share-1, seed 4: every score is 0.5"),
        "what a figure leaves out is told"
    );
    assert_eq!(page.matches("<script").count(), 2);
}

#[test]
fn membership_tests_are_a_table_in_tex_and_in_csv() {
    let analysis = sample::provenance();
    let folder = rendered(&analysis);
    let tex = read(&folder, "tables.tex").replace("\\allowbreak{}", "");
    let table = &tex[tex.find("\\caption{Membership").unwrap()..];
    // A table that is longer than a page has its heading on each.
    let mut rows: Vec<&str> = table.lines().filter(|line| line.ends_with(" \\\\")).collect();
    let heading = rows[0];
    let mut seen = false;
    rows.retain(|row| *row != heading || !std::mem::replace(&mut seen, true));
    assert_eq!(rows.len(), 1 + analysis.membership.len());
    assert!(rows.iter().all(|row| row.matches('&').count() == 6), "{rows:?}");
    insta::assert_snapshot!("tex_membership", rows[..6].join("\n"));
    let rows = parse_csv(&read(&folder, "provenance.csv"));
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    assert_eq!(rows.len(), 1 + 5 * analysis.membership.len());
    let column = |name: &str| rows[0].iter().position(|other| other == name).unwrap();
    let refused = rows.iter().find(|row| row[column("test")] == "sorted").unwrap();
    assert_eq!(
        (refused[column("outcome")].as_str(), refused[column("p")].as_str()),
        ("refused", "")
    );
    assert!(refused[column("reason")].contains("not random"));
    insta::assert_snapshot!("csv_membership", rows[1].join("\n"));
}

#[test]
fn a_report_without_membership_tests_says_nothing_of_them() {
    let folder = rendered(&sample::full());
    let page = read(&folder, "index.html");
    // Its data has the empty list.
    let page = page.split("<script").next().unwrap();
    assert!(!page.contains("Provenance") && !page.contains("membership"), "not even in the terms");
    assert!(!read(&folder, "tables.tex").contains("Membership"));
    assert!(!folder.path().join("provenance.csv").exists());
}

#[test]
fn scores_over_workloads_are_a_section_a_figure_and_a_table_everywhere() {
    let analysis = sample::several();
    let folder = rendered(&analysis);
    let page = read(&folder, "index.html");
    let section = between(&page, "<h2>Over all workloads</h2>", "</section>");
    insta::assert_snapshot!("score_section", between(section, "<h2>", "<div class=\"figures\">"));
    assert_eq!(section.matches("<tr>").count(), 1 + 6);
    assert!(
        page.contains("href=\"#over\"") && page.contains("href=\"figures/profile-samples.png\"")
    );
    assert!(!folder.path().join("figures/profile-time.svg").exists(), "times are withheld");
    let texts = texts(&read(&folder, "figures/profile-samples.svg"));
    for arm in analysis.workloads[0].arms.iter().filter(|arm| arm.label != sample::LONG) {
        assert!(texts.contains(&arm.label), "{:?} is missing: {texts:?}", arm.label);
    }
    assert!(texts.contains(&"times the best arm's samples to the target".to_owned()), "{texts:?}");
    let rows = parse_csv(&read(&folder, "scores.csv"));
    assert_eq!(rows.len(), 1 + 6);
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    let column = |name: &str| rows[0].iter().position(|other| other == name).unwrap();
    let group = &analysis.score.groups[0];
    let area = group.samples_profile.found().unwrap();
    let muon = area.arms.iter().find(|arm| arm.arm == "muon").unwrap();
    let row = rows.iter().find(|row| row[column("arm")] == "muon").unwrap();
    assert_eq!(row[column("profile_samples")].parse::<f64>(), Ok(muon.score));
    assert_eq!(row[column("profile_samples_low")].parse::<f64>(), Ok(muon.interval.low));
    assert_eq!((row[column("profile_time")].as_str(), row[column("speed_up")].as_str()), ("", ""));
    assert!(row[column("withheld")].contains("withheld: profile, time; speed-up (3 of 60 runs"));
    let tex = read(&folder, "tables.tex");
    insta::assert_snapshot!("tex_score", &tex[tex.find("\\caption{Over").unwrap()..]);
}

#[test]
fn a_figure_of_profiles_keeps_its_shape() {
    let mut analysis = sample::several();
    analysis.score.groups[0].arms.truncate(2);
    let folder = rendered(&analysis);
    insta::assert_snapshot!(read(&folder, "figures/profile-samples.svg"));
}

#[test]
fn a_report_of_one_workload_says_nothing_of_scores() {
    let folder = rendered(&sample::full());
    assert!(!read(&folder, "index.html").contains("Over all workloads"));
    assert!(!folder.path().join("scores.csv").exists());
    assert!(!read(&folder, "tables.tex").contains("resampled seeds"));
    let mut apart = sample::several();
    apart.score = analysis::summary::score::Score {
        groups: Vec::new(),
        reason: Some("no two arms that train share two workloads".to_owned()),
    };
    let page = read(&rendered(&apart), "index.html");
    assert!(page.contains("No score over workloads: no two arms that train share two workloads."));
}

#[test]
fn only_the_wanted_formats_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let paths = render(&sample::full(), &[Format::Tex, Format::Json], folder.path()).unwrap();
    let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["tables.tex", "numbers.tex", "analysis.json"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn newer_analysis_is_refused_by_version() {
    let mut analysis = sample::empty();
    analysis.version += 1;
    let error = render(&analysis, &Format::ALL, Path::new("never-written")).unwrap_err();
    assert!(matches!(error, ReportError::NewerAnalysis { found: 3, known: 2 }), "{error}");
    assert!(!Path::new("never-written").exists());
}

#[test]
fn figure_keeps_its_shape() {
    let mut analysis = sample::single_seed();
    analysis.workloads[0].arms.truncate(1);
    let folder = rendered(&analysis);
    insta::assert_snapshot!(read(&folder, "figures/one-seed-time-to-target.svg"));
}
