//! `palimpsest completions`

use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory as _, Id};
use clap_complete::Shell;

use super::Rows;
use crate::exit::Exit;
use crate::library;
use crate::voice::print_text;

/// Options of `palimpsest completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell to complete for
    shell: Shell,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args, rows: Rows<'_>) -> anyhow::Result<Exit> {
    let listing = rows()?;
    let methods = listing.methods.iter().map(|method| method.id.clone());
    let workloads = listing.workloads.iter().map(|workload| workload.id.clone());
    let suites = library::suites().into_iter().map(|(suite, _)| suite.to_owned());
    let names = [
        ("suite", leaked(suites)),
        ("methods", leaked(methods.clone())),
        ("workloads", leaked(workloads.clone())),
        ("name", leaked(methods.chain(workloads))),
    ];
    // Into memory first: writing to a closed pipe would panic inside the generator.
    let mut script = Vec::new();
    let mut command = shown(&super::Cli::command(), &names);
    clap_complete::generate(args.shell, &mut command, "palimpsest", &mut script);
    print_text(&String::from_utf8(script)?)?;
    Ok(Exit::Fine)
}

/// Names for the rest of this process, as clap wants them.
fn leaked(names: impl Iterator<Item = String>) -> Vec<&'static str> {
    names.map(|name| &*name.leak()).collect()
}

/// A command without what its help hides, which the generators would complete all the same, and with the
/// names that some of its arguments can take.
fn shown(command: &Command, names: &[(&str, Vec<&'static str>)]) -> Command {
    let arguments: Vec<_> =
        command.get_arguments().filter(|argument| !argument.is_hide_set()).collect();
    let kept = |id: &&Id| arguments.iter().any(|argument| argument.get_id() == *id);
    let groups = command.get_groups().filter(|group| group.get_args().all(|id| kept(&id)));
    let groups: Vec<_> = groups.cloned().collect();
    let arguments = arguments.iter().map(|argument| {
        let argument = (*argument).clone();
        match names.iter().find(|(id, _)| argument.get_id() == *id) {
            Some((_, names)) => argument.value_parser(PossibleValuesParser::new(names)),
            None => argument,
        }
    });
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let name: &'static str = command.get_name().to_owned().leak();
    Command::new(name)
        .about(command.get_about().cloned().unwrap_or_default())
        .args(arguments)
        .groups(groups)
        .subcommands(verbs.map(|verb| shown(verb, names)))
}
