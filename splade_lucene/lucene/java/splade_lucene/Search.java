package splade_lucene;

import java.util.concurrent.atomic.AtomicLong;
import org.apache.lucene.util.Bits;
import org.apache.lucene.util.BytesRef;

/**
 * One query on its way through an index, or through a part of it: what is asked, the best found so far, and what it may
 * cost and has cost. The parts of one query share a bar, which any of them raises for all.
 */
final class Search {
  final BytesRef[] terms; // of many queries; this one's stand in this range:
  final int from;
  final int to;
  final int[] impacts;
  final TopHits top;
  Bits accepted; // documents of the segment that is searched just now; null: all
  long postingsRead;

  private final AtomicLong sharedBar;
  private final SearchOptions options;
  private long started;
  private boolean cut;

  Search(Searcher.Queries queries, int query, TopHits top, AtomicLong sharedBar, SearchOptions options) {
    terms = queries.terms();
    impacts = queries.impacts();
    from = queries.indptr()[query];
    to = queries.indptr()[query + 1];
    this.top = top;
    this.sharedBar = sharedBar;
    this.options = options;
  }

  void start() {
    started = System.nanoTime();
  }

  /** What a document must score at least to be among the k best of those seen so far, by any part. */
  long bar() {
    return top.bar();
  }

  /** Says that k documents are known to score so much at least. */
  void raise(long known) {
    top.raise(known);
  }

  void found(int document, long score) {
    top.offer(document, score);
  }

  /** Brings the bar up to date. */
  void tighten() {
    top.tighten();
    exchange();
  }

  /** Brings it up to date with other parts, where there are any. */
  void share() {
    if (sharedBar != null) {
      top.tighten();
      exchange();
    }
  }

  private void exchange() {
    if (sharedBar != null) {
      top.raise(sharedBar.accumulateAndGet(top.bar(), Math::max));
    }
  }

  /** Whether there are limits to what the search may cost. */
  boolean limited() {
    return options.milliseconds() > 0 || options.mostPostings() > 0;
  }

  /** Whether these are reached, which cuts the search short. */
  boolean exhausted() {
    cut |=
        options.milliseconds() > 0 && System.nanoTime() - started >= options.milliseconds() * 1_000_000L
            || options.mostPostings() > 0 && postingsRead >= options.mostPostings();
    return cut;
  }

  boolean cut() {
    return cut;
  }
}
