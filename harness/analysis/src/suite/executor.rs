//! What the cells of a suite ask of a scheduler.

use serde::{Deserialize, Serialize};

use crate::yaml;

/// `executor:` of a suite, or a file of the user's. Every value ends up in a script or a manifest that a
/// cluster obeys, so that each is held to the letters that such values have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExecutorUse {
    /// Slurm: partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Slurm: account that is charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Slurm: quality of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<String>,
    /// Slurm: features that a node must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<String>,
    /// How long a part may take: `90`, `1:30:00` or `2-00:00:00`, in Slurm's forms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Memory of a part: `4G`, `500M`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// GPUs of a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
    /// CPUs of a part, and how many of its cells run at once: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Parts that may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<u32>,
    /// How often a part is handed in again that the scheduler has ended: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Seconds between two looks at the scheduler: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_seconds: Option<u32>,
    /// Slurm: modules to load first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// Slurm: an image that Apptainer runs the program in. Kubernetes: the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Kubernetes: the claim of the volume that holds the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// Kubernetes: namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Most parts that may run at once, and most of anything else that is counted.
const MOST: u32 = 100_000;

impl ExecutorUse {
    /// Reads a file of the user's; `file` is only for messages.
    ///
    /// # Errors
    /// With the file, and the key and value that are wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, String> {
        let read: Self = yaml::from_str(text).map_err(|error| format!("{file}: {error}"))?;
        match read.problem() {
            Some((key, problem)) => Err(format!("{file}: {key}: {problem}")),
            None => Ok(read),
        }
    }

    /// These values, and those of `other` where there is none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            partition: self.partition.or(other.partition),
            account: self.account.or(other.account),
            qos: self.qos.or(other.qos),
            constraint: self.constraint.or(other.constraint),
            time: self.time.or(other.time),
            memory: self.memory.or(other.memory),
            gpus: self.gpus.or(other.gpus),
            cpus: self.cpus.or(other.cpus),
            at_once: self.at_once.or(other.at_once),
            retries: self.retries.or(other.retries),
            poll_seconds: self.poll_seconds.or(other.poll_seconds),
            modules: if self.modules.is_empty() { other.modules } else { self.modules },
            container: self.container.or(other.container),
            volume: self.volume.or(other.volume),
            namespace: self.namespace.or(other.namespace),
        }
    }

    /// The first key whose value cannot be, with what is wrong.
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let words = [
            ("partition", &self.partition, "-_.,"),
            ("account", &self.account, "-_."),
            ("qos", &self.qos, "-_."),
            ("constraint", &self.constraint, "-_.,&|*[]()"),
            ("time", &self.time, "-:"),
            ("memory", &self.memory, ""),
            ("container", &self.container, "-_./:@"),
            ("volume", &self.volume, "-."),
            ("namespace", &self.namespace, "-"),
        ];
        let modules = self.modules.iter().map(|module| ("modules", Some(module), "-_./+"));
        let words = words.into_iter().map(|(key, word, more)| (key, word.as_ref(), more));
        for (key, word, more) in words.chain(modules) {
            let Some(word) = word else { continue };
            let fits = |letter: char| letter.is_ascii_alphanumeric() || more.contains(letter);
            if word.is_empty() || word.starts_with('-') || !word.chars().all(fits) {
                let more = if more.is_empty() { String::new() } else { format!(" and {more}") };
                return Some((key, format!("{word:?} holds more than letters, digits{more}")));
            }
        }
        let at_least = |key, number: Option<u32>, least| {
            let number = number.filter(|number| !(least..=MOST).contains(number))?;
            Some((key, format!("{number} is outside {least} to {MOST}")))
        };
        at_least("gpus", self.gpus, 0)
            .or_else(|| at_least("cpus", self.cpus, 1))
            .or_else(|| at_least("at_once", self.at_once, 1))
            .or_else(|| at_least("retries", self.retries, 0))
            .or_else(|| at_least("poll_seconds", self.poll_seconds, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_word_never_reaches_a_script() {
        for wrong in [
            "partition: 'main; rm -rf /'",
            "account: \"a\\n#SBATCH --uid=0\"",
            "modules: [cuda, '$(id)']",
            "container: 'image`id`'",
            "time: '--wrap=id'",
            "memory: ''",
            "cpus: 0",
            "at_once: 200000",
        ] {
            let key = wrong.split(':').next().unwrap();
            let problem = ExecutorUse::parse("mine.yaml", wrong).unwrap_err();
            assert!(problem.starts_with(&format!("mine.yaml: {key}: ")), "{problem}");
        }
        let unknown = ExecutorUse::parse("mine.yaml", "partitoin: main").unwrap_err();
        assert!(unknown.contains("partitoin"), "{unknown}");
    }

    #[test]
    fn the_first_that_says_something_is_heard() {
        let own =
            ExecutorUse::parse("mine.yaml", "partition: debug\nmodules: [cuda/12.8]").unwrap();
        let suite = ExecutorUse::parse("x.yaml", "partition: main\ntime: '1:30:00'").unwrap();
        let both = own.or(suite);
        assert_eq!(both.partition.as_deref(), Some("debug"));
        assert_eq!(both.time.as_deref(), Some("1:30:00"));
        assert_eq!(both.modules, ["cuda/12.8"]);
    }
}
