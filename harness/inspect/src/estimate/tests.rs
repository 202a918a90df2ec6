//! Estimators on problems whose answers are known. The numbers of others stand beside their recipe
//! in `tests/reference/estimates.{py,tsv}`.

mod known;
mod networks;
mod toy;
