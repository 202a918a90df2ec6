//! p-values that must be uniform.
