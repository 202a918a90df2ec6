#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    palimpsest_fuzz::evidence::safetensors(bytes);
    palimpsest_fuzz::columns::weights(bytes);
});
