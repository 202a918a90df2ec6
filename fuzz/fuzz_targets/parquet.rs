#![no_main]

use std::panic;
use std::thread;

// The parser panics on some damaged files, on a thread of its own, and the reader tells of it.
libfuzzer_sys::fuzz_target!(
    init: {
        let abort = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if thread::current().name() != Some(data::columns::PARSER_THREAD) {
                abort(panic);
            }
        }));
    },
    |bytes: &[u8]| palimpsest_fuzz::columns::parquet(bytes)
);
