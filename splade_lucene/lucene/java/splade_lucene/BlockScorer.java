package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.util.Arrays;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.search.DocAndFloatFeatureBuffer;
import org.apache.lucene.util.ArrayUtil;
import org.apache.lucene.util.BytesRef;

/**
 * Finds the best documents of a segment that has {@link Blocks}, exactly.
 *
 * <p>Group by group, those of highest bound first because they say what a hit must score, the bar: the planes of the
 * query's essential terms are weighed and added up, and to them the postings of its rare terms. The other terms,
 * frequent and of little weight, are first bounded by their rows (as MaxScore parts terms, and BMP, 2405.01117, bounds
 * blocks); only where a document can reach the bar with that, their planes are added, too.
 *
 * <p>Sums are floats because the compiler turns loops that add bytes to floats into vector instructions, and no others.
 * Floats hold whole numbers exactly up to 2^24; a query whose sums might be larger is left to {@link WindowScorer}. One
 * scorer serves one thread.
 */
final class BlockScorer {
  private static final int EXACT = 1 << 24;
  private static final int BEST_GROUPS = 512; // of the groups, one and one more for so many hits come first
  private static final int GAP = 4 * Blocks.CHUNK; // documents between two that can reach the bar are added up, too

  private final LeafReaderContext leaf;
  private final Blocks blocks;
  private final byte[] bytes = new byte[Blocks.GROUP];
  private final float[] sums = new float[Blocks.GROUP];
  private final float[] rest = new float[Blocks.GROUP >> Blocks.BLOCK_BITS]; // what the others can add in each block
  private final long[] groupBounds;
  private final DocAndFloatFeatureBuffer buffer = new DocAndFloatFeatureBuffer();

  private int count; // of the query's terms in this segment, in the order of their numbers
  private int withRows; // the first so many have rows
  private int[] terms = new int[0];
  private int[] weights = new int[0];
  private boolean[] essential = new boolean[0];
  private PostingsEnum[] lists = new PostingsEnum[0]; // of the rare terms, kept from query to query
  private Search search;

  BlockScorer(LeafReaderContext leaf, Blocks blocks) {
    this.leaf = leaf;
    this.blocks = blocks;
    groupBounds = new long[blocks.groups()];
  }

  /**
   * Searches one of several equal parts of the segment.
   *
   * @return false, having done nothing, if floats might not hold the scores
   */
  boolean search(Search search, int part, int parts) throws IOException {
    this.search = search;
    int first = (int) ((long) blocks.groups() * part / parts);
    int end = (int) ((long) blocks.groups() * (part + 1) / parts);
    if (!resolve()) {
      return false;
    }
    if (count == 0 || first == end) {
      return true;
    }
    boundGroups();
    if (search.accepted == null) {
      for (int i = 0; i < count; i++) {
        search.raise((long) weights[i] * blocks.reached(terms[i], search.top.capacity()));
      }
    }
    int[] order = Blocks.byBound(groupBounds, first, end);
    if (search.limited()) {
      for (int i = 0; i < order.length && !search.exhausted(); i++) {
        searchGroups(order, i, i + 1);
      }
    } else {
      int best = Math.min(order.length, 1 + search.top.capacity() / BEST_GROUPS);
      searchGroups(order, 0, best);
      searchGroups(order, best, order.length);
    }
    return true;
  }

  private boolean resolve() {
    int asked = search.to - search.from;
    long[] found = new long[asked];
    count = 0;
    withRows = 0;
    double most = 0;
    for (int i = search.from; i < search.to; i++) {
      int term = blocks.find(search.terms[i]);
      if (term >= 0) {
        found[count++] = (long) term << Integer.SIZE | search.impacts[i];
        withRows += term < blocks.rows() ? 1 : 0;
        most += (double) search.impacts[i] * (Math.max(0x100, blocks.highest(term) * 2L)); // rows are rounded up
      }
    }
    Arrays.sort(found, 0, count);
    if (terms.length < count) {
      terms = new int[ArrayUtil.oversize(count, Integer.BYTES)];
      weights = new int[terms.length];
      essential = new boolean[terms.length];
      lists = Arrays.copyOf(lists, terms.length);
    }
    for (int i = 0; i < count; i++) {
      terms[i] = (int) (found[i] >>> Integer.SIZE);
      weights[i] = (int) found[i];
    }
    return most < EXACT;
  }

  /** What a document of each group can score at most. */
  private void boundGroups() throws IOException {
    Arrays.fill(groupBounds, 0);
    byte[] maxima = blocks.groups() <= bytes.length ? bytes : new byte[blocks.groups()];
    for (int i = 0; i < count; i++) {
      blocks.groupMaxima(terms[i], maxima);
      long step = step(i);
      for (int group = 0; group < groupBounds.length; group++) {
        groupBounds[group] += step * (maxima[group] - Blocks.NOTHING);
      }
    }
  }

  /** What one step of a term's rounded impacts gives. */
  private int step(int i) {
    return weights[i] << Blocks.shift(blocks.highest(terms[i]));
  }

  /** Searches some of the groups of an order, as they follow one another in the segment. */
  private void searchGroups(int[] order, int from, int to) throws IOException {
    int[] groups = Arrays.copyOfRange(order, from, to);
    Arrays.sort(groups);
    boolean all = part();
    boolean opened = false;
    for (int group : groups) {
      if (groupBounds[group] >= search.bar()) {
        if (!opened) {
          open(group << Blocks.GROUP_BITS);
          opened = true;
        }
        searchGroup(group, all);
        search.tighten();
      }
    }
  }

  /**
   * Says which terms are essential, and whether all are. The others add least to a score, and together not so much that
   * a document without an essential term could reach the bar.
   */
  private boolean part() {
    long[] byGain = new long[withRows];
    for (int i = 0; i < withRows; i++) {
      byGain[i] = (long) weights[i] * blocks.highest(terms[i]) << Integer.SIZE | i;
    }
    Arrays.sort(byGain);
    double left = 0;
    boolean all = true;
    for (long each : byGain) {
      left += each >>> Integer.SIZE;
      int i = (int) each;
      essential[i] = left >= search.bar();
      all &= essential[i];
    }
    return all;
  }

  /** Opens the posting lists of the rare terms on their first document from the start on. */
  private void open(int start) throws IOException {
    TermsEnum dictionary = leaf.reader().terms(Constants.CONTENTS).iterator();
    for (int i = withRows; i < count; i++) {
      if (!dictionary.seekExact(blocks.term(terms[i], new BytesRef()))) {
        throw new IllegalStateException("the block file has a term that the index lacks");
      }
      lists[i] = dictionary.postings(lists[i], PostingsEnum.FREQS);
      lists[i].advance(start);
    }
  }

  private void searchGroup(int group, boolean all) throws IOException {
    int size = blocks.size(group);
    Arrays.fill(sums, 0, size, nothing(true));
    addPlanes(group, true, 0, size);
    addPostings(group);
    if (!all) {
      addRows(group, size >> Blocks.BLOCK_BITS);
    }
    int next;
    for (int from = next(0, size, all); from < size; from = next) {
      int to = from + Blocks.CHUNK;
      for (next = next(to, size, all); next < size && next - to <= GAP; next = next(to, size, all)) {
        to = next + Blocks.CHUNK;
      }
      if (!all) {
        float nothing = nothing(false);
        for (int i = from; i < to; i++) {
          sums[i] += nothing;
        }
        addPlanes(group, false, from, to);
      }
      collect(group, from, to);
    }
  }

  /** What makes up for the lowest byte of these planes, which stands for 0, being negative. */
  private float nothing(boolean ofEssential) {
    float nothing = 0;
    for (int i = 0; i < withRows; i++) {
      nothing -= essential[i] == ofEssential ? weights[i] * Blocks.NOTHING : 0;
    }
    return nothing;
  }

  /** Adds up the planes of the essential terms, or of the others, over some documents of a group. */
  private void addPlanes(int group, boolean ofEssential, int from, int to) throws IOException {
    for (int i = 0; i < withRows; i++) {
      if (essential[i] == ofEssential) {
        search.postingsRead += (long) blocks.frequency(terms[i]) * (to - from) / blocks.documents();
        for (int plane = 0; plane < blocks.planesOf(terms[i]); plane++) {
          blocks.plane(terms[i], plane, group, from, bytes, to - from);
          add(sums, from, bytes, to - from, weights[i] << Byte.SIZE * plane);
        }
      }
    }
  }

  private static void add(float[] sums, int at, byte[] bytes, int length, float weight) {
    for (int i = 0; i < length; i++) {
      sums[at + i] += weight * bytes[i];
    }
  }

  private void addPostings(int group) throws IOException {
    int start = group << Blocks.GROUP_BITS;
    int end = Math.min(blocks.documents(), start + Blocks.GROUP);
    for (int i = withRows; i < count; i++) {
      PostingsEnum list = lists[i];
      float weight = weights[i];
      if (list.docID() < start) {
        list.advance(start);
      }
      for (list.nextPostings(end, buffer); buffer.size > 0; list.nextPostings(end, buffer)) {
        int[] documents = buffer.docs;
        float[] impacts = buffer.features;
        int n = buffer.size;
        for (int j = 0; j < n; j++) {
          sums[documents[j] - start] += weight * impacts[j];
        }
        search.postingsRead += n;
      }
    }
  }

  /** Adds up the rows of the terms that are not essential. */
  private void addRows(int group, int length) throws IOException {
    float nothing = 0;
    for (int i = 0; i < withRows; i++) {
      nothing -= essential[i] ? 0 : (float) step(i) * Blocks.NOTHING;
    }
    Arrays.fill(rest, 0, length, nothing);
    for (int i = 0; i < withRows; i++) {
      if (!essential[i]) {
        blocks.row(terms[i], group, bytes);
        add(rest, 0, bytes, length, step(i));
      }
    }
  }

  /** The first chunk, from one on, with a document that can reach the bar. */
  private int next(int from, int size, boolean all) {
    float bar = search.bar();
    for (int block = from >> Blocks.BLOCK_BITS; block < size >> Blocks.BLOCK_BITS; block++) {
      float least = all ? bar : bar - rest[block];
      int i = block << Blocks.BLOCK_BITS;
      if (sums[i] >= least
          || sums[i + 1] >= least
          || sums[i + 2] >= least
          || sums[i + 3] >= least
          || sums[i + 4] >= least
          || sums[i + 5] >= least
          || sums[i + 6] >= least
          || sums[i + 7] >= least) {
        return i & -Blocks.CHUNK;
      }
    }
    return size;
  }

  private void collect(int group, int from, int to) {
    int start = group << Blocks.GROUP_BITS;
    int end = Math.min(to, blocks.documents() - start);
    for (int i = from; i < end; i++) {
      if (sums[i] >= search.bar() && (search.accepted == null || search.accepted.get(start + i))) {
        search.found(leaf.docBase + start + i, (long) sums[i]);
      }
    }
  }
}
