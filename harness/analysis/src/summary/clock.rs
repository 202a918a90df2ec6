//! Whether the times of a run can be trusted, and compared with those of another.

use ledger::record::format::{Environment, RunRecord, Share};

/// Share of a core that an undisturbed run on a CPU gets.
const WHOLE: f64 = 0.97;

/// Whether something else took the run's core: it got less than 97 % of one, however low the load was
/// at its start (a quota, or neighbours that came later); where the share is not known, the load
/// exceeded the cores. A run on another device waits for it, so that its share says nothing. Of a run that went on
/// from a checkpoint every part counts, for its clocks are summed over them.
#[must_use]
pub fn is_disturbed(record: &RunRecord) -> bool {
    let device = &record.environment.device;
    let on_cpu = device.is_empty() || device == "cpu";
    record.shares().any(|Share { load_at_start, cpus, cpu_share }| {
        let busy = load_at_start.is_some_and(|load| load > f64::from(cpus));
        match cpu_share {
            Some(share) if on_cpu => share < WHOLE,
            Some(share) => busy && share < WHOLE,
            None => busy,
        }
    })
}

/// What decides how fast a run is and differs between two, as "cpu: A, here B".
#[must_use]
pub fn differs(one: &Environment, other: &Environment) -> Option<String> {
    let parts = |environment: &Environment| {
        let Environment { device, cpu, gpu, threads, libtorch, .. } = environment;
        [
            ("device", device.clone()),
            ("CPU", cpu.clone()),
            ("GPU", gpu.clone().unwrap_or_else(|| "none".to_owned())),
            ("torch threads", threads.to_string()),
            ("libtorch", libtorch.clone()),
        ]
    };
    let unlike = parts(one).into_iter().zip(parts(other)).find(|(one, other)| one != other);
    unlike.map(|((name, one), (_, other))| format!("{name} {one} against {other}"))
}

#[cfg(test)]
mod tests {
    use ledger::record::format::Interruption;

    use super::*;
    use crate::summary::tests::record;

    #[test]
    fn less_than_a_whole_core_disturbs_whatever_the_load() {
        let with = |load, share, device: &str| {
            let mut record = record(0, (Some(1.0), 0.9, 0.1));
            record.environment.load_at_start = load;
            record.environment.cpu_share = share;
            record.environment.device = device.to_owned();
            is_disturbed(&record)
        };
        assert!(with(Some(0.1), Some(0.2), "cpu"), "a quota on a quiet machine");
        assert!(!with(Some(9.0), Some(0.99), "cpu"), "the echo of a build that has ended");
        assert!(with(Some(9.0), None, "cpu") && !with(Some(1.0), None, "cpu"));
        assert!(!with(Some(0.1), Some(0.2), "cuda:0"), "it waits for the device");
        assert!(with(Some(9.0), Some(0.2), "cuda:0"));
    }

    #[test]
    fn one_disturbed_part_disturbs_a_run_that_went_on_and_unknown_parts_do_not() {
        let with = |shares: &[Option<(f64, Option<f64>)>]| {
            let mut record = record(0, (Some(1.0), 0.9, 0.1));
            record.environment.load_at_start = Some(0.1);
            record.environment.cpu_share = Some(0.99);
            let parts = shares.iter().map(|share| Interruption {
                steps: 1,
                samples: 32,
                stopped: false,
                share: share.map(|(load, cpu_share)| Share {
                    load_at_start: Some(load),
                    cpus: 2,
                    cpu_share,
                }),
            });
            record.interruptions = parts.collect();
            (is_disturbed(&record), record.disturbed())
        };
        assert_eq!(with(&[None]), (false, false));
        assert_eq!(with(&[Some((0.1, Some(0.99))), None]), (false, false));
        assert_eq!(with(&[Some((0.1, Some(0.4))), Some((0.1, Some(0.99)))]), (true, false));
        assert_eq!(with(&[Some((9.0, Some(0.4)))]), (true, true));
        assert_eq!(with(&[Some((9.0, None))]), (true, true));
    }

    #[test]
    fn another_processor_is_another_machine_and_another_load_is_not() {
        let here = Environment { cpu: "A".into(), threads: 1, ..Environment::default() };
        let busy = Environment { load_at_start: Some(9.0), ..here.clone() };
        let there = Environment { cpu: "B".into(), ..here.clone() };
        assert_eq!(differs(&here, &busy), None);
        assert_eq!(differs(&here, &there).unwrap(), "CPU A against B");
    }
}
