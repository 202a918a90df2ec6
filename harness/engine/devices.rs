//! Which devices cells are trained on: one for all, or several NVIDIA GPUs, in turn one for each worker.
//!
//! A worker sees its own GPU alone, as `cuda:0`: so records, cell ids and commitments, which hold the name of the
//! device, are the same whichever of several GPUs had a cell.

use anyhow::{Context as _, bail};

/// What a worker of several calls its GPU.
const OWN: &str = "cuda:0";
/// All GPUs that there are.
const ALL: &str = "cuda:all";

fn are_several(asked: &str) -> bool {
    asked == ALL || asked.contains(',')
}

/// What `--device` means to this process: worker processes see one of several.
pub fn device_of(asked: &str, worker: Option<usize>) -> &str {
    if worker.is_some() && are_several(asked) { OWN } else { asked }
}

/// Devices that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Devices {
    /// One for all cells, by its name.
    One(String),
    /// Several GPUs, by their numbers among those that are visible.
    Several(Vec<usize>),
}

impl Devices {
    /// Reads `--device`; `visible` counts the GPUs.
    ///
    /// # Errors
    /// When a list names something else than GPUs, one twice, or one that is not there.
    pub fn of(asked: &str, visible: impl Fn() -> usize) -> anyhow::Result<Self> {
        if !are_several(asked) {
            return Ok(Self::One(asked.to_owned()));
        }
        let (all, count) = (asked == ALL, visible());
        if all && count == 1 {
            return Ok(Self::One(OWN.to_owned()));
        }
        if all && count == 0 {
            bail!(
                "--device is cuda:all, but no CUDA device is visible; use --device cpu, or install the CUDA libraries with `just setup cuda`"
            );
        }
        if all {
            return Ok(Self::Several((0..count).collect()));
        }
        let numbers = asked.split(',').map(|name| {
            let number = name.trim().strip_prefix("cuda:").and_then(|n| n.parse::<usize>().ok());
            number.with_context(|| {
                format!("--device is {asked}, but several devices are GPUs, as in cuda:0,cuda:1, or cuda:all; {name:?} is none")
            })
        });
        let numbers = numbers.collect::<anyhow::Result<Vec<_>>>()?;
        for (place, number) in numbers.iter().enumerate() {
            if numbers[..place].contains(number) {
                bail!("--device is {asked}, and names cuda:{number} twice");
            }
            if *number >= count {
                bail!(
                    "--device is {asked}, but {count} CUDA devices are visible, cuda:0 the first"
                );
            }
        }
        Ok(Self::Several(numbers))
    }

    /// What the process itself takes its data to, and the device that its records name. Of several GPUs the process
    /// that hands out cells takes none: its workers do.
    #[must_use]
    pub fn own(&self) -> (&str, &str) {
        match self {
            Self::One(name) => (name, name),
            Self::Several(_) => ("cpu", OWN),
        }
    }

    /// At least as many workers as devices, each with a CPU of its own.
    ///
    /// # Errors
    /// When there are fewer CPUs than that.
    pub fn jobs(&self, asked: u32, cpus: u32) -> anyhow::Result<u32> {
        let Self::Several(numbers) = self else { return Ok(asked) };
        let least = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        if least > cpus {
            bail!(
                "{least} GPUs want as many workers, but this machine has {cpus} CPUs: name fewer with --devices"
            );
        }
        Ok(asked.max(least))
    }

    /// Whether cells train in workers of their own.
    #[must_use]
    pub fn are_several(&self) -> bool {
        matches!(self, Self::Several(_))
    }

    /// Environment variables of a worker; `outer` is `CUDA_VISIBLE_DEVICES` of this process, whose numbers count
    /// from its first entry.
    #[must_use]
    pub fn environment(&self, worker: usize, outer: Option<&str>) -> Vec<(&'static str, String)> {
        let Self::Several(numbers) = self else { return Vec::new() };
        let number = numbers[worker % numbers.len().max(1)];
        let outer: Vec<&str> = outer.map(|list| list.split(',').collect()).unwrap_or_default();
        let name =
            outer.get(number).map_or_else(|| number.to_string(), |name| name.trim().to_owned());
        // By their place on the bus, as the machine's own listing has them, and not the fastest first.
        vec![("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned()), ("CUDA_VISIBLE_DEVICES", name)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(asked: &str) -> anyhow::Result<Devices> {
        Devices::of(asked, || 4)
    }

    #[test]
    fn one_device_is_left_to_libtorch_and_several_are_gpus_that_are_there_each_once() {
        assert_eq!(of("auto").unwrap(), Devices::One("auto".to_owned()));
        assert_eq!(of("cuda:9").unwrap(), Devices::One("cuda:9".to_owned()));
        assert_eq!(of("cuda:all").unwrap(), Devices::Several(vec![0, 1, 2, 3]));
        assert_eq!(of("cuda:3, cuda:1").unwrap(), Devices::Several(vec![3, 1]));
        for (asked, word) in [
            ("cuda:0,cpu", "\"cpu\" is none"),
            ("cuda:0,", "\"\" is none"),
            ("cuda:1,cuda:1", "twice"),
            ("cuda:0,cuda:4", "4 CUDA devices are visible"),
        ] {
            let error = of(asked).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains(asked), "{error}");
        }
        // A single one needs no worker that sees it alone.
        assert_eq!(Devices::of("cuda:all", || 1).unwrap(), Devices::One("cuda:0".to_owned()));
        let none = Devices::of("cuda:all", || 0).unwrap_err().to_string();
        assert!(none.contains("no CUDA device"), "{none}");
    }

    #[test]
    fn workers_take_the_devices_in_turn_see_one_each_and_all_name_it_alike() {
        let devices = of("cuda:1,cuda:3").unwrap();
        assert_eq!(devices.own(), ("cpu", "cuda:0"));
        assert_eq!([1, 6].map(|asked| devices.jobs(asked, 8).unwrap()), [2, 6]);
        let few = devices.jobs(1, 1).unwrap_err().to_string();
        assert!(few.contains("2 GPUs") && few.contains("1 CPUs"), "{few}");
        let visible = |worker, outer| devices.environment(worker, outer)[1].1.clone();
        assert_eq!([0, 1, 2, 3].map(|worker| visible(worker, None)), ["1", "3", "1", "3"]);
        // What a scheduler has handed out is counted from its first.
        assert_eq!(visible(1, Some("4,5,6,GPU-7")), "GPU-7");
        assert_eq!(devices.environment(0, None)[0].1, "PCI_BUS_ID");
        let names =
            ["cuda:1,cuda:3", "cuda:all", "cuda:1", "auto"].map(|asked| device_of(asked, Some(1)));
        assert_eq!(names, ["cuda:0", "cuda:0", "cuda:1", "auto"]);
        assert_eq!(device_of("cuda:all", None), "cuda:all");
        let one = of(device_of("cuda:all", Some(0))).unwrap();
        assert_eq!(one.own(), ("cuda:0", "cuda:0"));
        assert!(one.environment(0, None).is_empty() && one.jobs(1, 1).unwrap() == 1);
    }
}
