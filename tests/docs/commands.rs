//! Lines of a shell, as simple commands, and whether each is one that there is.

use std::fs;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use palimpsest::cli::Cli;

use crate::support::root;

/// Programs that are not ours: that they are there, and take these options, nobody holds.
const OTHERS: [&str; 12] = [
    "box.sh",
    "cargo",
    "cd",
    "curl",
    "docker",
    "git",
    "mlflow",
    "openssl",
    "pip",
    "regress.sh",
    "sed",
    "tensorboard",
];

/// The commands of a block, a line each, without those that are comments.
pub(super) fn lines(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines =
        joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// A line as simple commands in words: quotes gone, comments, redirections and variables before a command left out.
pub(super) fn simple(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut target = false;
    let end = |word: &mut Option<String>, target: &mut bool, commands: &mut Vec<Vec<String>>| {
        let Some(word) = word.take() else { return };
        let command = commands.last_mut().unwrap();
        let name = word.split_once('=').map_or("", |(name, _)| name);
        let variable =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        if !(std::mem::take(target) || command.is_empty() && variable) {
            command.push(word);
        }
    };
    for letter in line.chars() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            (letter, Some(_)) => word.get_or_insert_default().push(letter),
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => break,
            ('&' | ';' | '|', None) => {
                end(&mut word, &mut target, &mut commands);
                commands.push(Vec::new());
            }
            ('>' | '<', None) => {
                // The number of a stream before it is no word.
                if word.as_deref() == Some("2") {
                    word = None;
                }
                end(&mut word, &mut target, &mut commands);
                target = true;
            }
            (letter, None) if letter.is_whitespace() => end(&mut word, &mut target, &mut commands),
            (letter, None) => word.get_or_insert_default().push(letter),
        }
    }
    end(&mut word, &mut target, &mut commands);
    commands.retain(|command: &Vec<String>| !command.is_empty());
    commands
}

/// Whether a command is one of ours that parses, a recipe, a script of the checkout, or a program of others.
pub(super) fn known(command: &[String]) -> Result<(), String> {
    match command[0].as_str() {
        // A placeholder for 64 hexadecimal digits.
        "palimpsest" => match Cli::try_parse_from(
            command.iter().map(|word| if word == "DIGEST" { "0".repeat(64) } else { word.clone() }),
        ) {
            Err(error)
                if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
            {
                Err(error.to_string())
            }
            _ => Ok(()),
        },
        "just" | "./justw" => {
            let recipe = command.get(1).map_or("", String::as_str);
            let justfile = fs::read_to_string(root().join("justfile")).unwrap();
            let is_it = |line: &str| {
                line.trim_start_matches('@')
                    .strip_prefix(recipe)
                    .is_some_and(|rest| rest.starts_with([' ', ':']))
            };
            let found = !recipe.is_empty() && justfile.lines().any(is_it);
            found.then_some(()).ok_or_else(|| format!("no recipe {recipe:?} in the justfile"))
        }
        "python3" => {
            let script = command.get(1).map_or("", |path| path.trim_start_matches("CHECKOUT/"));
            let ours = script.starts_with("docs/") || script.starts_with("scripts/");
            (!ours || root().join(script).is_file())
                .then_some(())
                .ok_or_else(|| format!("no file {script}"))
        }
        program if OTHERS.contains(&program) => Ok(()),
        program => Err(format!("{program:?} is no program that these pages know: see OTHERS")),
    }
}

/// Whether the verbs of a command within a text are verbs, and its options those of the verb. The text may have
/// placeholders and ends of its own where values stand.
pub(super) fn named(span: &str) -> Result<(), String> {
    let mut command = Cli::command();
    command.build();
    let mut words = span.split_whitespace().skip(1).peekable();
    while let Some(next) = words.peek().and_then(|word| command.find_subcommand(word)) {
        command = next.clone();
        words.next();
    }
    let placeholder = |word: &str| !word.contains(|c: char| c.is_ascii_lowercase());
    if command.get_name() == "palimpsest"
        && let Some(word) = words.peek()
        && !word.starts_with('-')
        && !placeholder(word)
    {
        return Err(format!("no verb {word:?}"));
    }
    for word in words {
        let name = word.trim_matches(['[', ']', '(', ')', ',']).split(['=', '[']).next();
        let Some(option) = name.and_then(|name| name.strip_prefix("--")) else { continue };
        // What follows a lone `--` is another program's.
        if option.is_empty() {
            break;
        }
        let takes = command.get_arguments().any(|argument| argument.get_long() == Some(option));
        if !takes && !["help", "version"].contains(&option) {
            return Err(format!("{} has no option --{option}", command.get_name()));
        }
    }
    Ok(())
}
