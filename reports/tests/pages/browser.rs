//! Pages in a real browser, where there is one: Chromium over its debugging pipe, with real pointer and keys.
//!
//! `CHROMIUM` names the program, `AXE` axe-core's `axe.min.js`, by which pages are searched for what keeps people out:
//! `CHROMIUM=chromium AXE=axe.min.js cargo test -p reports --test reports browser`.

#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use reports::{Format, render};
use serde_json::{Value, json};

use super::{form, sample};

/// What a page answers to the questions of the tests below.
const QUESTIONS: &str = include_str!("questions.js");

/// A browser with one page; ended when dropped.
struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    number: u64,
    events: Vec<Value>,
    profile: tempfile::TempDir,
}

impl Browser {
    fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("CHROMIUM") else {
            eprintln!("skipped: CHROMIUM names no browser");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        // It reads messages from descriptor 3 and writes them to 4.
        let script = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args([
                "--disable-background-networking",
                "--disable-dev-shm-usage",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, from) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser =
            Self { child, to, from, session: None, number: 0, events: Vec::new(), profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    fn read(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "the browser has ended");
        serde_json::from_slice(&message).unwrap()
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(message.to_string().as_bytes()).unwrap();
        self.to.write_all(&[0]).unwrap();
        self.to.flush().unwrap();
        loop {
            let mut answer = self.read();
            if answer["id"] == self.number {
                assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    /// Opens a page, as wide as this, in light or dark.
    fn open(&mut self, page: &Path, width: u32, scheme: &str) {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        self.media("", scheme);
        self.events.clear();
        self.call("Page.navigate", json!({ "url": format!("file://{}", page.display()) }));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.read();
            self.events.push(event);
        }
        self.ask(QUESTIONS);
        self.ask("settled()");
    }

    fn media(&mut self, media: &str, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "media": media, "features": features }));
    }

    fn ask(&mut self, expression: &str) -> Value {
        let question =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", question);
        let problem = answer.get("exceptionDetails");
        assert!(problem.is_none(), "{expression:.200}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// Moves the pointer to the middle of what `expression` gives as `[x, y]`, and clicks there.
    fn pointer(&mut self, expression: &str, click: bool) {
        let at = self.ask(expression);
        let kinds: &[&str] =
            if click { &["mouseMoved", "mousePressed", "mouseReleased"] } else { &["mouseMoved"] };
        for kind in kinds {
            let event =
                json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    fn key(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let code = json!({ "Tab": 9, "Enter": 13, "ArrowRight": 39, "ArrowDown": 40 });
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code[key] });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Errors, messages and requests since the page was opened; a page has none but itself and its icon.
    fn troubles(&mut self) -> Vec<String> {
        self.ask("1");
        let told = self.events.iter().filter_map(|event| {
            let params = &event["params"];
            match event["method"].as_str()? {
                "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded" => {
                    Some(params.to_string())
                }
                "Network.requestWillBeSent" => Some(params["request"]["url"].to_string())
                    .filter(|url| !url.starts_with("\"data:") && !url.contains("/index.html")),
                _ => None,
            }
        });
        told.collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(self.profile.path());
    }
}

/// The pages of the invented analyses, ordinary and awkward.
fn pages(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let samples = [
        ("full", sample::full()),
        ("loss", sample::loss()),
        ("extreme", sample::extreme()),
        ("several", sample::several()),
        ("provenance", sample::provenance()),
        ("recorded", sample::recorded()),
        ("single-seed", sample::single_seed()),
        ("lone", sample::lone()),
        ("forty", sample::forty()),
        ("strange", sample::strange()),
        ("empty", sample::empty()),
    ];
    let render = |(name, analysis)| {
        let out = folder.join(name);
        render(&analysis, &[Format::Html, Format::Json], &out).unwrap();
        (name, out.join("index.html"))
    };
    let hostile = sample::hostile().into_iter();
    let mut pages: Vec<_> = samples.into_iter().chain(hostile).map(render).collect();
    let mut later = sample::full();
    later.claims[1].verdict = later.claims[0].verdict;
    let others = [
        (REGISTER, reports::index(&form::committed_registers(), &[]).unwrap()),
        (TWO, reports::side_by_side([&sample::full(), &later], ["before", "after"]).unwrap()),
    ];
    for (name, page) in others {
        let path = folder.join(name).join("index.html");
        reports::write_page(&path, &page).unwrap();
        pages.push((name, path));
    }
    pages
}

/// The page of all suites, and that of two reports.
const REGISTER: &str = "register";
const TWO: &str = "two";

#[test]
fn no_page_has_an_error_or_asks_for_anything_on_any_screen() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start() else { return };
    for (name, page) in pages(folder.path()) {
        for (width, scheme) in [(1400, "light"), (400, "dark")] {
            browser.open(&page, width, scheme);
            let views = browser.ask("everyView()");
            let troubles = browser.troubles();
            assert!(troubles.is_empty(), "{name} at {width}: {troubles:?}");
            assert_eq!(browser.ask("odd()"), json!([]), "{name}, {views}");
            // Nothing sticks out of the screen: what is wider scrolls within itself.
            let over = browser.ask("document.documentElement.scrollWidth - innerWidth");
            assert!(over.as_f64().unwrap() <= 0.0, "{name} at {width}: {over} pixels too wide");
            if !["empty", REGISTER, TWO].contains(&name) {
                assert_eq!(browser.ask("seal()"), json!([true, true]), "{name}");
            }
        }
    }
}

#[test]
fn a_table_sorts_by_its_values_and_filters_by_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start() else { return };
    let (_, page) = pages(folder.path()).remove(0);
    browser.open(&page, 1400, "light");
    let before = browser.ask("column('arms', 0)");
    browser.pointer("middle(heading('arms', 'Time to target'))", true);
    let times = browser.ask("values('arms', 2)");
    let times: Vec<f64> = times.as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert!(times.len() > 5 && times.is_sorted(), "{times:?}");
    assert_eq!(
        browser.ask("heading('arms', 'Time to target').closest('th').ariaSort"),
        "ascending"
    );
    browser.pointer("middle(heading('arms', 'Time to target'))", true);
    let turned = browser.ask("values('arms', 2)");
    let turned: Vec<f64> = turned.as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert!(turned.iter().rev().is_sorted() && turned.len() == times.len(), "{turned:?}");
    browser.pointer("middle(heading('arms', 'Time to target'))", true);
    assert_eq!(browser.ask("column('arms', 0)"), before, "the third click gives the suite's order");
    browser.ask("type('arms', 'muon')");
    let shown = browser.ask("column('arms', 0)");
    let shown: Vec<&str> = shown.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(shown.iter().all(|name| name.contains("muon")));
}

#[test]
fn the_page_of_all_suites_sorts_by_effect_and_filters_by_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start() else { return };
    let pages = pages(folder.path());
    let (_, page) = pages.iter().find(|(name, _)| *name == REGISTER).unwrap();
    browser.open(page, 1400, "light");
    browser.pointer("middle(heading('verdicts', 'Effect'))", true);
    let effects = browser.ask("values('verdicts', 4)");
    let effects: Vec<f64> = effects.as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert!(effects.len() > 100 && effects.is_sorted(), "{effects:?}");
    browser.ask("type('verdicts', '✗')");
    let verdicts = browser.ask("column('verdicts', 3)");
    let verdicts: Vec<&str> =
        verdicts.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(!verdicts.is_empty() && verdicts.len() < effects.len(), "{verdicts:?}");
    assert!(verdicts.iter().all(|words| words.contains("not reproduced")), "{verdicts:?}");
}

#[test]
fn a_still_figure_says_its_values_below_itself_to_pointer_and_keys() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start() else { return };
    let (_, page) = pages(folder.path()).remove(0);
    browser.open(&page, 1400, "light");
    // The claims' figure lies in a fold.
    browser
        .ask("document.querySelectorAll('details.still').forEach((fold) => { fold.open = true; })");
    browser.pointer("middle(spot('what papers claim', 0))", false);
    let first = browser.ask("said('what papers claim')");
    assert_eq!(first, "drop-muon: 1.62× [1.50, 1.74]");
    browser.ask("still('what papers claim').focus()");
    browser.key("ArrowRight");
    let next = browser.ask("said('what papers claim')");
    assert_eq!(next, "random-pruning-erk: 0.780× [0.710, 0.850]");
}

#[test]
fn nothing_is_cut_off_on_a_narrow_screen_or_on_paper() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start() else { return };
    for (name, page) in pages(folder.path()) {
        browser.open(&page, 400, "light");
        assert_eq!(browser.ask("wide('table, pre, dl, .chips, .live form')"), json!([]), "{name}");
        // 190 mm of A4.
        browser.open(&page, 718, "light");
        browser.media("print", "light");
        assert_eq!(browser.ask("wide('table, pre, dl, figure svg')"), json!([]), "{name} printed");
    }
}

#[test]
fn a_figure_says_its_values_to_pointer_and_keys_and_leads_to_the_cells() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start() else { return };
    let (_, page) = pages(folder.path()).remove(0);
    browser.open(&page, 1400, "light");
    browser.pointer("middle(marker(0))", false);
    let words = browser.ask("tip()");
    let words = words.as_str().unwrap();
    assert!(words.starts_with("sgd ") && words.contains("geometric mean; 5 of 5"), "{words}");
    browser.ask("document.querySelector('.stage svg').focus()");
    browser.key("ArrowDown");
    let words = browser.ask("tip()");
    assert!(words.as_str().unwrap().starts_with("adamw "), "{words}");
    browser.key("ArrowRight");
    let seed = browser.ask("tip()");
    assert!(seed.as_str().unwrap().starts_with("adamw seed 0: "), "{seed}");
    // Enter goes from the value to the runs behind it.
    browser.key("Enter");
    let cells = browser.ask("column('runs', 0)");
    assert_eq!(cells, json!(["adamw", "adamw", "adamw", "adamw", "adamw"]));
    assert_eq!(browser.ask("document.activeElement.closest('details').open"), true);
}

#[test]
fn a_click_hides_an_arm_and_axes_and_metrics_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start() else { return };
    let (_, page) = pages(folder.path()).remove(0);
    browser.open(&page, 1400, "light");
    let all = browser.ask("drawn()");
    assert_eq!(all.as_array().unwrap().len(), 12);
    browser.pointer("middle(chip('muon'))", true);
    assert_eq!(browser.ask("chip('muon').ariaPressed"), "false");
    let fewer = browser.ask("drawn()");
    assert!(fewer.as_array().unwrap().len() == 11 && !fewer.to_string().contains("\"muon\""));
    assert!(!browser.ask("axisWords()").as_str().unwrap().contains("log axis"));
    browser.ask("choose('log', true)");
    assert!(browser.ask("axisWords()").as_str().unwrap().contains("log axis"));
    browser.ask("choose('view', 'budget')");
    let metrics = browser.ask("options('metric')");
    assert_eq!(metrics, json!(["validation/accuracy", "test/accuracy", "test/nll"]));
    browser.ask("choose('metric', 'test/nll')");
    assert!(browser.ask("axisWords()").as_str().unwrap().contains("test/nll"));
    browser.ask("choose('view', 'curve')");
    assert!(browser.ask("axisWords()").as_str().unwrap().contains("train time"));
    browser.ask("choose('over', 'samples')");
    assert!(browser.ask("axisWords()").as_str().unwrap().contains("samples seen"));
}

#[test]
fn what_was_recorded_along_the_run_can_be_drawn_over_samples_and_over_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start() else { return };
    let pages = pages(folder.path());
    let (_, page) = pages.iter().find(|(name, _)| *name == "recorded").unwrap();
    browser.open(page, 1400, "light");
    browser.ask("choose('view', 'curve')");
    browser.ask("choose('over', 'samples')");
    let recorded = [
        "validation/accuracy",
        "validation/accuracy/4",
        "validation/accuracy/10",
        "validation/length",
        "validation/nll",
    ];
    assert_eq!(browser.ask("options('metric')"), json!(recorded));
    browser.ask("choose('metric', 'validation/length')");
    assert_eq!(browser.ask("odd()"), json!([]));
    let words = browser.ask("axisWords()");
    assert!(!words.as_str().unwrap().contains("target"), "a target of another metric: {words}");
    browser.pointer("middle(marker(0))", false);
    let words = browser.ask("tip()");
    assert!(words.as_str().unwrap().contains(" samples, n = 5"), "{words}");
    // Accuracy over length: a line that turns.
    browser.ask("choose('metric', 'validation/accuracy')");
    browser.ask("choose('over', 'validation/length')");
    assert_eq!(browser.ask("odd()"), json!([]));
    assert!(browser.ask("axisWords()").as_str().unwrap().contains("validation/length"));
    browser.pointer("middle(marker(0))", false);
    let words = browser.ask("tip()");
    assert!(words.as_str().unwrap().contains("validation/length "), "{words}");
    // What runs count, where an arm that counts none of it has no line, and one that trains nothing a level.
    assert!(
        browser.ask("options('over')").to_string().contains("\"forward_tokens\",\"questions\"")
    );
    browser.ask("choose('over', 'forward_tokens')");
    assert_eq!(browser.ask("options('metric').length"), json!(1));
    assert_eq!(browser.ask("odd()"), json!([]));
    assert_eq!(browser.ask("drawn().length"), json!(4));
    assert!(browser.ask("axisWords()").as_str().unwrap().contains("forward tokens"));
    browser.pointer("middle(marker(0))", false);
    let words = browser.ask("tip()");
    assert!(words.as_str().unwrap().contains(" forward tokens, n = 5"), "{words}");
    browser.ask("choose('over', 'questions')");
    assert_eq!(browser.ask("drawn().length"), json!(2));
    // Train time is known of the target's metric alone.
    browser.ask("choose('over', 'time')");
    assert_eq!(browser.ask("options('metric').length"), json!(1));
}

#[test]
fn figures_and_page_are_dark_in_the_dark_and_light_on_paper() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start() else { return };
    let (_, page) = pages(folder.path()).remove(0);
    browser.open(&page, 1400, "dark");
    let luminances = browser.ask("grounds()");
    let all = |values: &Value, fits: fn(f64) -> bool| {
        values.as_array().unwrap().iter().all(|value| fits(value.as_f64().unwrap()))
    };
    assert!(all(&luminances, |value| value < 0.05), "{luminances}");
    let contrasts = browser.ask("inks()");
    assert!(
        all(&contrasts, |value| value >= 3.0),
        "an arm's colour on the dark ground: {contrasts}"
    );
    browser.media("print", "dark");
    let luminances = browser.ask("grounds()");
    assert!(all(&luminances, |value| value > 0.95), "{luminances}");
    assert_eq!(browser.ask("onPaper()"), json!({ "live": false, "still": true, "filter": false }));
    let printed = browser.call("Page.printToPDF", json!({ "printBackground": true }));
    assert!(printed["data"].as_str().unwrap().len() > 50_000);
}

#[test]
fn a_changed_number_is_seen_by_the_digest() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start() else { return };
    let (_, page) = pages(folder.path()).remove(0);
    let text = fs::read_to_string(&page).unwrap();
    let data = text.find("id=\"data\"").unwrap();
    let number = data + text[data..].find("0.9").unwrap() + 2;
    let mut changed = text.clone();
    changed.replace_range(number..=number, "1");
    fs::write(&page, &changed).unwrap();
    browser.open(&page, 1400, "light");
    assert_eq!(browser.ask("seal()"), json!([false, true]));
    let row = text.find("data-is=\"run_digest\">").unwrap() + 21;
    let mut changed = text;
    let other = if changed[row..].starts_with('0') { "1" } else { "0" };
    changed.replace_range(row..=row, other);
    fs::write(&page, &changed).unwrap();
    browser.open(&page, 1400, "light");
    assert_eq!(browser.ask("seal()"), json!([true, false]));
}

#[test]
fn nobody_is_kept_out_by_what_axe_finds() {
    let folder = tempfile::tempdir().unwrap();
    let Some(axe) = std::env::var_os("AXE") else {
        eprintln!("skipped: AXE names no axe.min.js");
        return;
    };
    let Some(mut browser) = Browser::start() else { return };
    let axe = fs::read_to_string(axe).unwrap();
    browser.call("Page.setBypassCSP", json!({ "enabled": true }));
    let awkward = ["full", "several", "provenance", "recorded", "forty", "strange", REGISTER, TWO];
    let pages = pages(folder.path()).into_iter().filter(|(name, _)| awkward.contains(name));
    for (name, page) in pages {
        for (width, scheme) in [(1400, "light"), (400, "dark")] {
            browser.open(&page, width, scheme);
            browser.ask("everyView()");
            browser.ask(&format!("{axe};1"));
            let found = browser.ask("serious()");
            assert_eq!(found, json!([]), "{name} at {width} in {scheme}");
        }
    }
}
