//! Name patterns as people and models write them: a glob, or a part of a name. Pure.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

/// Longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1_024;

/// A read pattern.
#[derive(Debug)]
pub(super) struct Names {
    matcher: GlobMatcher,
    /// The pattern names folders on the way, so whole paths are matched.
    whole_path: bool,
    /// Only folders are wanted: the pattern ends with a slash.
    pub(super) folders: bool,
}

impl Names {
    /// Reads a pattern. Without a capital letter, case does not matter. An error is a sentence for the model.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let trimmed = pattern.trim().trim_start_matches("./");
        let folders = trimmed.ends_with('/');
        let name = trimmed.trim_end_matches('/');
        if name.is_empty() {
            return Err(
                "the pattern is empty; give a glob such as *.rs, or a part of a name".into(),
            );
        }
        if name.len() > MAX_PATTERN_BYTES {
            return Err("the pattern is longer than 1024 bytes; give a shorter one".into());
        }
        if name.starts_with('/') || name.split('/').any(|part| part == "..") {
            return Err(
                "the pattern leads outside; patterns are relative, and `path` names the folder to look in"
                    .into(),
            );
        }
        let is_glob = name.contains(['*', '?', '[', '{']);
        let glob = if is_glob {
            name.to_owned()
        } else {
            format!("*{}*", name.replace('/', "*/*"))
        };
        let whole_path = glob.contains('/');
        let glob = GlobBuilder::new(&glob)
            .literal_separator(whole_path)
            .case_insensitive(!name.chars().any(char::is_uppercase))
            .build()
            .map_err(|error| format!("the pattern is no glob: {}", error.kind()))?;
        Ok(Self {
            matcher: glob.compile_matcher(),
            whole_path,
            folders,
        })
    }

    /// Judges a path, given below the workspace and below where the walk began.
    pub(super) fn fit(&self, real: &Path, within: &Path) -> bool {
        if !self.whole_path {
            return real
                .file_name()
                .is_some_and(|name| self.matcher.is_match(Path::new(name)));
        }
        self.matcher.is_match(within) || self.matcher.is_match(real)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, path: &str, expected: bool) {
        let names = Names::parse(pattern).unwrap();
        assert_eq!(
            names.fit(Path::new(path), Path::new(path)),
            expected,
            "{pattern} {path}"
        );
    }

    #[test]
    fn globs_and_parts_of_names() {
        check("*.rs", "src/a.rs", true);
        check("*.rs", "src/a.rsx", false);
        check("*.{rs,md}", "b.md", true);
        check("src/**/*.rs", "src/a/b/c.rs", true);
        check("src/*.rs", "src/a/c.rs", false);
        check("readme", "docs/README.md", true);
        check("README", "docs/readme.md", false);
        check("README", "docs/README.md", true);
        check("笔记", "我的笔记.txt", true);
        check("src/main", "src/main.rs", true);
        check("./a.txt", "a.txt", true);
        check("target/", "target", true);
    }

    #[test]
    fn bad_patterns_say_what_is_wrong() {
        for (pattern, words) in [
            ("", "empty"),
            ("  ", "empty"),
            ("/etc/*", "leads outside"),
            ("../x", "leads outside"),
            ("a/../../b", "leads outside"),
            ("[a", "no glob"),
            ("{a,b", "no glob"),
        ] {
            let error = Names::parse(pattern).unwrap_err();
            assert!(error.contains(words), "{pattern}: {error}");
        }
        assert!(Names::parse(&"x".repeat(2_000)).is_err());
    }
}
