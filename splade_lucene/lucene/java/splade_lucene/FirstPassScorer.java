package splade_lucene;

import java.io.IOException;
import java.util.Arrays;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.util.BitUtil;

/**
 * Finds candidates by the first-pass postings of {@link Blocks}: score = sum of query impact times saturated impact.
 *
 * <p>Group by group, those of highest bound first, until none can have a candidate any more: the few postings of a
 * group are added to as many sums as the processor's first cache can hold, and a document is noted when its sum reaches
 * what a candidate must score, the bar. Scores depend on document and query alone, so that candidates do not depend on
 * segments or threads. One scorer serves one thread.
 */
final class FirstPassScorer {
  private final int[] sums = new int[Blocks.GROUP];
  private final int[] reached = new int[Blocks.GROUP]; // places of documents whose sums have reached the bar
  private final byte[] postings = new byte[Blocks.GROUP * Blocks.FIRST_PASS_POSTING];
  private int count; // of the query's terms in this segment
  private int[] terms = new int[0];
  private int[] weights = new int[0];
  private int[][] counts = new int[0][]; // of each term's postings in each group
  private long[][] starts = new long[0][]; // where these stand

  /** Whether a query's scores fit into the sums. */
  static boolean takes(Search search) {
    long most = 0;
    for (int i = search.from; i < search.to; i++) {
      most += (long) search.impacts[i] * Blocks.MOST_SATURATED;
    }
    return most <= Integer.MAX_VALUE;
  }

  /** Searches one of several equal parts of a segment. */
  void search(LeafReaderContext leaf, Blocks blocks, Search search, int part, int parts) throws IOException {
    int first = (int) ((long) blocks.groups() * part / parts);
    int end = (int) ((long) blocks.groups() * (part + 1) / parts);
    resolve(blocks, search);
    long[] bounds = boundGroups(blocks);
    for (int group : Blocks.byBound(bounds, first, end)) {
      if (bounds[group] < search.bar() || search.limited() && search.exhausted()) {
        return;
      }
      searchGroup(blocks, group, search, leaf.docBase);
      search.share();
    }
  }

  private void resolve(Blocks blocks, Search search) throws IOException {
    int asked = search.to - search.from;
    if (terms.length < asked) {
      terms = new int[asked];
      weights = new int[asked];
      counts = new int[asked][0];
      starts = new long[asked][];
    }
    count = 0;
    for (int i = search.from; i < search.to; i++) {
      int term = blocks.find(search.terms[i]);
      if (term >= 0) {
        if (counts[count].length < blocks.groups()) {
          counts[count] = new int[blocks.groups()];
          starts[count] = new long[blocks.groups()];
        }
        blocks.firstPass(term, counts[count], starts[count]);
        terms[count] = term;
        weights[count++] = search.impacts[i];
      }
    }
  }

  /** What a document of each group can score at most. */
  private long[] boundGroups(Blocks blocks) throws IOException {
    long[] bounds = new long[blocks.groups()];
    byte[] maxima = new byte[bounds.length];
    for (int i = 0; i < count; i++) {
      blocks.groupMaxima(terms[i], maxima);
      for (int group = 0; group < bounds.length; group++) {
        bounds[group] += (long) weights[i] * blocks.mostSaturated(terms[i], maxima[group]);
      }
    }
    return bounds;
  }

  private void searchGroup(Blocks blocks, int group, Search search, int docBase) throws IOException {
    Arrays.fill(sums, 0);
    int bar = (int) search.bar();
    int n = 0;
    for (int i = 0; i < count; i++) {
      int some = counts[i][group];
      if (some > 0) {
        blocks.firstPass(starts[i][group], some, postings);
        n = add(postings, some, weights[i], sums, bar, reached, n);
        search.postingsRead += some;
      }
    }
    int start = group << Blocks.GROUP_BITS;
    for (int i = 0; i < n; i++) {
      if (search.accepted == null || search.accepted.get(start + reached[i])) {
        search.found(docBase + start + reached[i], sums[reached[i]]);
      }
    }
  }

  /** Adds a list to the sums, and notes the places whose sums have now reached the bar; returns how many there are. */
  private static int add(byte[] postings, int count, int weight, int[] sums, int bar, int[] reached, int n) {
    for (int i = 0; i < count; i++) {
      int place = (short) BitUtil.VH_LE_SHORT.get(postings, Short.BYTES * i);
      int before = sums[place];
      int sum = before + weight * (postings[Short.BYTES * count + i] & 0xff);
      sums[place] = sum;
      if (sum >= bar && before < bar) {
        reached[n++] = place;
      }
    }
    return n;
  }
}
