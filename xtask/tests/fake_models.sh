#!/bin/sh
# Stands in for a test binary in the tests of src/mutants.rs, and is run as one:
# fake_models.sh --exact <test> …
case "$2" in
  dies_of_a) [ "${GORIN_MUTANT-}" != a ] ;;
  broken) echo because; exit 101 ;;
  slow) exec sleep 60 ;;
  *) echo "no test $2"; exit 2 ;;
esac
