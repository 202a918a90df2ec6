//! What a page shows of a command's output, held against what is printed: words and their order; numbers, digests and
//! widths of columns differ from machine to machine.

/// A command and what it is shown to print.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) command: String,
    /// 0, or what a comment `# ends with N` says.
    pub(super) code: i32,
    pub(super) output: String,
}

/// Commands after `$`, each with the lines below it.
pub(super) fn steps(text: &str) -> impl Iterator<Item = Step> {
    let joined = text.replace("\\\n", " ");
    let parts: Vec<String> =
        format!("\n{joined}").split("\n$ ").skip(1).map(str::to_owned).collect();
    parts.into_iter().map(|part| {
        let (command, output) = part.split_once('\n').unwrap_or((&part, ""));
        let code =
            command.split_once("# ends with ").and_then(|(_, code)| code.trim().parse().ok());
        Step { command: command.to_owned(), code: code.unwrap_or(0), output: output.to_owned() }
    })
}

/// The first line that is shown and was not printed where it should be. A line `…` stands for any lines.
pub(super) fn agree(shown: &str, printed: &str) -> Result<(), String> {
    let shown: Vec<String> =
        shown.lines().filter(|line| !line.trim().is_empty()).map(plain).collect();
    let printed: Vec<String> =
        printed.lines().filter(|line| !line.trim().is_empty()).map(plain).collect();
    let mut at = 0;
    let mut anywhere = false;
    for line in &shown {
        if line == "…" {
            anywhere = true;
            continue;
        }
        let here = printed[at..].iter().position(|found| found == line);
        match here {
            Some(0) => at += 1,
            Some(further) if anywhere => at += further + 1,
            _ => return Err(line.clone()),
        }
        anywhere = false;
    }
    if anywhere || at == printed.len() { Ok(()) } else { Err("the end".to_owned()) }
}

/// A line with one blank between words and `#` for what differs from machine to machine: numbers with their units,
/// digests, dates, times.
fn plain(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let body = word.trim_matches(['(', ')', '[', ']', ',', ';', ':', '.']);
        let digits = body.bytes().any(|byte| byte.is_ascii_digit());
        let digest = digits && body.len() >= 8 && body.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits && !body.contains(|c: char| c.is_alphabetic() && c != 'e');
        let id = digits && body.len() > 20 && body.contains('T') && body.contains('-');
        let unit = ["ms", "s", "min", "h", "µs", "kB", "MB"].contains(&body);
        match words.last() {
            Some(last) if unit && last.starts_with('#') => {}
            _ if digest || number || id => words.push(format!(
                "#{}",
                &word[word.trim_end_matches([')', ']', ',', ';', ':', '.']).len()..]
            )),
            _ => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

#[test]
fn numbers_digests_and_widths_may_differ_and_words_may_not() {
    let shown = "run 0123456789abcdef  ok,  12.5 ms\n…\nall 4 hold";
    assert_eq!(
        agree(shown, "run fedcba9876543210 ok, 1.2 s\nmore\nyet more\nall 9 hold\n"),
        Ok(())
    );
    assert_eq!(
        agree(shown, "run fedcba9876543210 ok, 1.2 s\nall 9 held\n"),
        Err("all # hold".to_owned())
    );
    assert_eq!(agree("all 4 hold", "all 4 hold\nbut one"), Err("the end".to_owned()));
    assert_eq!(agree("one\nthree", "one\ntwo\nthree"), Err("three".to_owned()));
}
