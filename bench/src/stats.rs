//! Medians of few samples, their spread, and ratios.

/// The samples of one cell of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds a sample.
    pub fn push(&mut self, sample: f64) {
        self.0.push(sample);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle sample, or the mean of the two middle ones. `None` without samples.
    pub fn median(&self) -> Option<f64> {
        let samples = &self.0;
        let middle = samples.len() / 2;
        match samples.len() {
            0 => None,
            n if n % 2 == 1 => Some(samples[middle]),
            _ => Some((samples[middle - 1] + samples[middle]) / 2.0),
        }
    }

    /// The standard error of the median, as of samples that are spread normally. `None` with fewer than two.
    pub fn error_of_median(&self) -> Option<f64> {
        let n = self.0.len() as f64;
        let mean = self.0.iter().sum::<f64>() / n;
        let squares: f64 = self.0.iter().map(|sample| (sample - mean).powi(2)).sum();
        (self.0.len() > 1).then(|| (std::f64::consts::FRAC_PI_2 * squares / (n - 1.0) / n).sqrt())
    }

    /// (largest − smallest) ÷ median: the noise. `None` with fewer than two samples, or a median of
    /// zero.
    pub fn spread(&self) -> Option<f64> {
        let median = self.median().filter(|_| self.0.len() > 1)?;
        (median != 0.0).then(|| (self.0[self.0.len() - 1] - self.0[0]) / median.abs())
    }
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Times, bytes.
    Lower,
    /// Rates.
    Higher,
}

impl Better {
    /// The best of `values`.
    pub fn best(self, values: impl IntoIterator<Item = f64>) -> Option<f64> {
        let values = values.into_iter();
        match self {
            Better::Lower => values.min_by(f64::total_cmp),
            Better::Higher => values.max_by(f64::total_cmp),
        }
    }

    /// How many times worse `value` is than `reference`; below 1 it is better. `None` if one of
    /// them is zero, where a ratio says nothing.
    pub fn ratio(self, value: f64, reference: f64) -> Option<f64> {
        if value <= 0.0 || reference <= 0.0 {
            return None;
        }
        Some(match self {
            Better::Lower => value / reference,
            Better::Higher => reference / value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        let mut samples = Samples::default();
        values.iter().for_each(|&value| samples.push(value));
        samples
    }

    #[test]
    fn the_median_is_the_middle_in_any_order() {
        assert_eq!(samples(&[]).median(), None);
        assert_eq!(samples(&[3.0]).median(), Some(3.0));
        assert_eq!(samples(&[9.0, 1.0, 5.0]).median(), Some(5.0));
        assert_eq!(samples(&[4.0, 1.0, 9.0, 2.0]).median(), Some(3.0));
    }

    #[test]
    fn the_spread_is_relative_to_the_median() {
        assert_eq!(samples(&[90.0, 100.0, 120.0]).spread(), Some(0.3));
        assert_eq!(samples(&[0.0, 0.0]).spread(), None);
        assert_eq!(samples(&[5.0]).spread(), None);
        assert_eq!(samples(&[]).spread(), None);
    }

    #[test]
    fn the_median_of_many_samples_has_a_small_error() {
        assert_eq!(samples(&[5.0]).error_of_median(), None);
        assert_eq!(samples(&[5.0, 5.0]).error_of_median(), Some(0.0));
        let error = |times: usize| samples(&[9.0, 11.0].repeat(times)).error_of_median();
        let (few, many) = (error(5).unwrap(), error(500).unwrap());
        assert!(
            (0.3..0.5).contains(&few) && many < few / 9.0,
            "{few} {many}"
        );
    }

    #[test]
    fn a_ratio_above_one_is_worse_whichever_way_is_better() {
        assert_eq!(Better::Lower.ratio(200.0, 100.0), Some(2.0));
        assert_eq!(Better::Higher.ratio(50.0, 100.0), Some(2.0));
        assert_eq!(Better::Lower.ratio(0.0, 1.0), None);
        assert_eq!(Better::Lower.best([3.0, 1.0, 2.0]), Some(1.0));
        assert_eq!(Better::Higher.best([3.0, 1.0, 2.0]), Some(3.0));
    }
}
