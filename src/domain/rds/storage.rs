//! What of its storage a new one is told.

use super::Settings;

/// The storage that has a baseline of its own, which is shown and may not be asked for.
const GP3: &str = "gp3";
/// That baseline: operations a second, and MiB a second.
const BASELINE: (u32, u32) = (3_000, 125);

impl Settings {
    /// Operations and throughput as they may be asked for: both are left out where nobody chose them, and where RDS lets nobody choose.
    pub fn provisioned(&self, engine: &str) -> (Option<u32>, Option<u32>) {
        if self.storage.as_deref() != Some(GP3) {
            return (self.iops, self.throughput);
        }
        let is_baseline = self.iops.is_none_or(|it| it == BASELINE.0)
            && self.throughput.is_none_or(|it| it == BASELINE.1);
        let is_small = self.storage_gib.is_some_and(|gib| gib < chosen_from_gib(engine));
        if is_baseline || is_small { (None, None) } else { (self.iops, self.throughput) }
    }
}

/// From this size on they may be chosen.
fn chosen_from_gib(engine: &str) -> u32 {
    match engine.split(['-', '.']).next() {
        Some("sqlserver") => 0,
        Some("db2") => 100,
        Some("oracle" | "custom") => 200,
        Some(_) | None => 400,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gp3(storage_gib: u32, iops: u32, throughput: u32) -> Settings {
        Settings {
            storage: Some(GP3.to_owned()),
            storage_gib: Some(storage_gib),
            iops: Some(iops),
            throughput: Some(throughput),
            ..Settings::default()
        }
    }

    #[test]
    fn what_rds_shows_of_gp3_without_letting_anybody_choose_it_is_left_out() {
        let small = gp3(100, 3_000, 125);
        assert_eq!(small.provisioned("postgres"), (None, None));
        assert_eq!(gp3(200, 12_000, 500).provisioned("oracle-ee"), (Some(12_000), Some(500)));
        assert_eq!(gp3(199, 12_000, 500).provisioned("oracle-ee"), (None, None));
        assert_eq!(gp3(399, 12_000, 500).provisioned("postgres"), (None, None));
        assert_eq!(gp3(400, 12_000, 500).provisioned("postgres"), (Some(12_000), Some(500)));
        assert_eq!(gp3(20, 4_000, 125).provisioned("sqlserver-se"), (Some(4_000), Some(125)));
        let io1 = Settings { storage: Some("io1".into()), throughput: None, ..small };
        assert_eq!(io1.provisioned("postgres"), (Some(3_000), None));
    }
}
