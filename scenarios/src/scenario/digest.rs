//! A digest of a scenario, to know whether two runs were of the same one with the same values.

use super::Scenario;

impl Scenario {
    /// A digest of everything that it says, with all that was changed in it, but for the seed: the same traffic with other
    /// random values is the same scenario. Another version of Assay may make another one of the same scenario.
    pub fn digest(&self) -> u32 {
        let mut scenario = Self { seed: None, description: String::new(), ..self.clone() };
        // Where its folder is makes no other scenario of it; what its files hold does.
        scenario.substitutes.mounts().for_each(|(_, mount)| mount.source.clear());
        crc32fast::hash(format!("{scenario:?}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Override;

    fn scenario(overrides: &[(&str, &str)]) -> Scenario {
        let source = "[scenario]\nname = \"day\"\ndescription = \"x\"\n[[traffic]]\nname = \"a\"\nevents = 600\n\
                      batch = { size = 10 }\narrival = { shape = \"constant\", rate = \"10/s\" }\n\
                      [[fault]]\nat = \"10s\"\ntarget = \"ingester\"\naction = \"kill\"\n";
        let changed = overrides.iter().map(|(key, value)| Override { key: (*key).into(), value: (*value).into() });
        Scenario::read("day.toml", source, &changed.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn every_value_changes_it_but_the_seed_and_the_description() {
        let one = scenario(&[]);
        let same = Scenario { seed: Some(7), description: "y".into(), ..one.clone() };
        assert_eq!((one.digest(), scenario(&[]).digest()), (same.digest(), one.digest()));
        for change in [("traffic.a.arrival.rate", "11/s"), ("traffic.a.batch.size", "20"), ("expect.loss_after", "11s")]
        {
            assert_ne!(scenario(&[change]).digest(), one.digest(), "{change:?}");
        }
        let mut mounting =
            scenario(&[("pipeline.capture.image", "a"), ("pipeline.capture.mounts", "{ \"/x\" = \"x\" }")]);
        let digest = mounting.digest();
        mounting.substitutes.mounts().for_each(|(_, mount)| mount.source = "/somewhere/x".into());
        assert_eq!(mounting.digest(), digest, "where it is does not matter");
        mounting.substitutes.mounts().for_each(|(_, mount)| mount.contents = "other".into());
        assert_ne!(mounting.digest(), digest, "what is in it does");
        let calm = Scenario { faults: Vec::new(), ..one.clone() };
        assert_ne!(calm.digest(), one.digest());
    }
}
