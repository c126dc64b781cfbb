package splade_lucene;

/**
 * How to search; Python's {@code SearchOptions} says what each of these means.
 *
 * @param skip whether block files are used, where there are any
 * @param firstPassTerms with so many of a query's terms candidates are found; 0: with all, and the search is exact
 * @param rescore how many candidates there are
 * @param milliseconds what a query may take; 0: what it takes
 * @param mostPostings how many postings may be read for a query; 0: as many as it takes
 */
public record SearchOptions(boolean skip, int firstPassTerms, int rescore, int milliseconds, long mostPostings) {}
