//! The files that decide what a file does, or why one of them does.
//!
//!     cargo run -p fingerprint --example why -- harness/lab/src/cell.rs
//!     cargo run -p fingerprint --example why -- harness/lab/src/cell.rs harness/lab/src/trial.rs
//!
//! Several roots are joined by commas.

#![expect(clippy::print_stdout, reason = "an example that prints what it finds")]

use std::env;
use std::path::Path;

use fingerprint::Tree;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some(roots) = arguments.first() else { return Err("name a root".into()) };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tree = Tree::read(&root)?;
    let closure = tree.closure(&roots.split(',').collect::<Vec<_>>())?;
    if let Some(file) = arguments.get(1) {
        println!("{}", closure.why(file).join("\n  → "));
        return Ok(());
    }
    for file in &closure.files {
        println!("{}", closure.why(file).join(" → "));
    }
    println!("{} files, {}", closure.files.len(), closure.hex());
    Ok(())
}
