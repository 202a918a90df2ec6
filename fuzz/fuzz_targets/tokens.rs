#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| palimpsest_fuzz::columns::text_or_tokens(bytes));
