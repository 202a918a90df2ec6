//! What a run or a test leaves for people who trust neither the machine nor the person that made it:
//! signatures, timestamps, in-toto statements and certificates (`docs/evidence.md`).

pub mod certificate;
pub mod inclusion;
pub mod key;
pub mod order_promise;
pub mod promise;
pub mod signature;
pub mod statement;
pub mod timestamp;

pub use certificate::Certificate;
pub use key::{KeyError, PublicKey, SecretKey};
pub use order_promise::OrderPromise;
pub use promise::{Promise, PromiseError};
pub use signature::{Kind, Signature, SignatureError};
