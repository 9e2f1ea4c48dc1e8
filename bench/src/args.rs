//! Command lines of the form `word --key value --flag`. Unknown keys are errors: a benchmark that
//! ignores a misspelt option measures something else than it says.

use std::collections::BTreeMap;
use std::str::FromStr;

/// A parsed command line. Every option must be asked for before [`Args::finish`].
#[derive(Debug, Default)]
pub struct Args {
    word: Option<String>,
    options: BTreeMap<String, Option<String>>,
}

impl Args {
    /// Parses `words` (without the program's name): at most one bare word, then options. An option
    /// followed by another option or by nothing is a flag.
    ///
    /// # Errors
    /// A second bare word, or an option that is given twice.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Args, String> {
        let mut args = Args::default();
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            if let Some(key) = word.strip_prefix("--") {
                let value = words.next_if(|next| !next.starts_with("--"));
                if args.options.insert(key.to_owned(), value).is_some() {
                    return Err(format!("--{key} is given twice"));
                }
            } else if args.word.replace(word.clone()).is_some() {
                return Err(format!("unexpected argument `{word}`"));
            }
        }
        Ok(args)
    }

    /// The bare word, which says what to do.
    pub fn word(&self) -> Option<&str> {
        self.word.as_deref()
    }

    /// Takes option `key`, or `default` where it is not given.
    ///
    /// # Errors
    /// A value that is missing or cannot be parsed.
    pub fn take<T: FromStr>(&mut self, key: &str, default: T) -> Result<T, String> {
        match self.options.remove(key) {
            None => Ok(default),
            Some(None) => Err(format!("--{key} needs a value")),
            Some(Some(text)) => text
                .parse()
                .map_err(|_| format!("--{key}: cannot understand `{text}`")),
        }
    }

    /// Takes the flag `key`: whether it was given.
    ///
    /// # Errors
    /// A value after the flag.
    pub fn take_flag(&mut self, key: &str) -> Result<bool, String> {
        match self.options.remove(key) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(value)) => Err(format!("--{key} takes no value, but `{value}` follows")),
        }
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// Names the first option that nobody asked for.
    pub fn finish(self) -> Result<(), String> {
        match self.options.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("unknown option --{key}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_values_and_flags_are_told_apart() {
        let mut args = parse("chan --workers 2 --quick").unwrap();
        assert_eq!(args.word(), Some("chan"));
        assert_eq!(args.take("workers", 1), Ok(2));
        assert_eq!(args.take("rounds", 5), Ok(5));
        assert_eq!(args.take_flag("quick"), Ok(true));
        assert_eq!(args.finish(), Ok(()));
    }

    #[test]
    fn mistakes_are_errors_that_name_the_option() {
        assert!(parse("a b").is_err());
        assert!(parse("--a 1 --a 2").unwrap_err().contains("--a"));
        assert!(
            parse("--n x")
                .unwrap()
                .take("n", 1)
                .unwrap_err()
                .contains("--n")
        );
        assert!(
            parse("--n")
                .unwrap()
                .take("n", 1)
                .unwrap_err()
                .contains("--n")
        );
        assert!(
            parse("--typo 1")
                .unwrap()
                .finish()
                .unwrap_err()
                .contains("--typo")
        );
    }
}
