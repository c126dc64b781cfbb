package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.util.Arrays;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.RecursiveAction;
import java.util.stream.IntStream;
import org.apache.lucene.index.LeafReader;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.search.DocIdSetIterator;
import org.apache.lucene.util.IntroSelector;

/**
 * An order of documents in which neighbours share terms: recursive graph bisection, "BP" (Dhulipala et al.,
 * 1602.08820).
 *
 * <p>A range of documents is halved so that few terms stand in both halves, by exchanging the documents that gain most
 * from it, and each half is treated the same. A term of frequency d in a half of n documents is charged d * log2(n / (d
 * + 1)), what its gaps take in bits; a document moves by what its terms gain of that, and the half with the smaller
 * sums is found by selection instead of sorting (Mackenzie et al., 1910.00341).
 *
 * <p>Memory: 2 bytes a posting that takes part and 16 bytes a document; the rarest terms are left out until that fits
 * the given bytes, and no more than 65,536 terms take part. The order does not depend on the threads.
 */
final class Bisection {
  private static final int SMALLEST = 16; // documents: a range that is not halved any more
  private static final int ROUNDS = 10;
  private static final double COMMON = 0.6; // a term of so large a share of documents tells none from the other
  private static final int ALONE = 1 << 14; // documents: a range below this is one task

  private final int documents;
  private final int terms;
  private final long[] starts; // of each document's terms
  private final TermNumbers numbers;
  private final int[] order;
  private final float[] biases;

  private Bisection(LeafReader reader, long mostBytes) throws IOException {
    documents = reader.maxDoc();
    order = new int[documents];
    Arrays.setAll(order, i -> i);
    biases = new float[documents];
    Terms dictionary = reader.terms(Constants.CONTENTS);
    int[] frequencies = frequencies(dictionary);
    int least = least(frequencies, mostBytes);
    starts = new long[documents + 1];
    terms = taken(frequencies, least);
    numbers = new TermNumbers(sum(frequencies, least));
    fill(dictionary, frequencies, least);
  }

  /** The new order: at place i, which document stands there. */
  static int[] order(LeafReader reader, int threads, long mostBytes) throws IOException {
    Bisection bisection = new Bisection(reader, mostBytes);
    ForkJoinPool pool = new ForkJoinPool(threads);
    try {
      pool.invoke(bisection.new Halving(0, bisection.documents));
    } finally {
      pool.shutdown();
    }
    return bisection.order;
  }

  private static int[] frequencies(Terms dictionary) throws IOException {
    int[] frequencies = new int[1 << 10];
    int n = 0;
    if (dictionary != null) {
      TermsEnum each = dictionary.iterator();
      while (each.next() != null) {
        if (n == frequencies.length) {
          frequencies = Arrays.copyOf(frequencies, 2 * n);
        }
        frequencies[n++] = each.docFreq();
      }
    }
    return Arrays.copyOf(frequencies, n);
  }

  private boolean takesPart(int frequency, int least) {
    return frequency >= least && frequency <= COMMON * documents;
  }

  private int taken(int[] frequencies, int least) {
    int taken = 0;
    for (int frequency : frequencies) {
      taken += takesPart(frequency, least) ? 1 : 0;
    }
    return taken;
  }

  private long sum(int[] frequencies, int least) {
    long postings = 0;
    for (int frequency : frequencies) {
      postings += takesPart(frequency, least) ? frequency : 0;
    }
    return postings;
  }

  /** The smallest document frequency from which on the postings fit, and the terms can be numbered in two bytes. */
  private int least(int[] frequencies, long mostBytes) {
    int least = 2;
    while (least <= documents
        && (sum(frequencies, least) * Character.BYTES > mostBytes || taken(frequencies, least) > 1 << Character.SIZE)) {
      least *= 2;
    }
    return least;
  }

  /** Turns posting lists into documents' lists: counts, then fills. */
  private void fill(Terms dictionary, int[] frequencies, int least) throws IOException {
    if (dictionary == null) {
      return;
    }
    for (boolean counts : new boolean[] {true, false}) {
      TermsEnum each = dictionary.iterator();
      PostingsEnum postings = null;
      int term = 0;
      for (int i = 0; i < frequencies.length; i++) {
        each.next();
        if (takesPart(frequencies[i], least)) {
          postings = each.postings(postings, PostingsEnum.NONE);
          for (int doc = postings.nextDoc(); doc != DocIdSetIterator.NO_MORE_DOCS; doc = postings.nextDoc()) {
            if (counts) {
              starts[doc + 1]++;
            } else {
              numbers.set(starts[doc]++, term);
            }
          }
          term++;
        }
      }
      if (counts) {
        for (int doc = 0; doc < documents; doc++) {
          starts[doc + 1] += starts[doc];
        }
      }
    }
    System.arraycopy(starts, 0, starts, 1, documents); // filling moved each start to the next one's place
    starts[0] = 0;
  }

  /** More numbers than one array holds, each in two bytes. */
  private static final class TermNumbers {
    private static final int CHUNK_BITS = 24;
    private static final int CHUNK = 1 << CHUNK_BITS;

    private final char[][] chunks;

    TermNumbers(long size) {
      chunks = new char[Math.toIntExact((size + CHUNK - 1) >> CHUNK_BITS)][];
      for (int i = 0; i < chunks.length; i++) {
        chunks[i] = new char[(int) Math.min(CHUNK, size - ((long) i << CHUNK_BITS))];
      }
    }

    void set(long i, int term) {
      chunks[(int) (i >> CHUNK_BITS)][(int) (i & (CHUNK - 1))] = (char) term;
    }

    /** Adds a number to the count of each term of a list. */
    void count(long from, long to, int[] counts, int added) {
      for (long i = from; i < to; ) {
        char[] chunk = chunks[(int) (i >> CHUNK_BITS)];
        int start = (int) (i & (CHUNK - 1));
        int end = (int) Math.min(chunk.length, start + to - i);
        for (int j = start; j < end; j++) {
          counts[chunk[j]] += added;
        }
        i += end - start;
      }
    }

    /** The sum of what the terms of a list weigh. */
    float sum(long from, long to, float[] weights) {
      float sum = 0;
      for (long i = from; i < to; ) {
        char[] chunk = chunks[(int) (i >> CHUNK_BITS)];
        int start = (int) (i & (CHUNK - 1));
        int end = (int) Math.min(chunk.length, start + to - i);
        for (int j = start; j < end; j++) {
          sum += weights[chunk[j]];
        }
        i += end - start;
      }
      return sum;
    }
  }

  /** What one thread needs to halve a range: counts of each term in both halves, and what it gains. */
  private final class Counts {
    final int[] left = new int[terms];
    final int[] right = new int[terms];
    final float[] leftGains = new float[terms]; // what moving to the right gains, for a document of the left half
    final float[] rightGains = new float[terms]; // what having moved there has gained, for one of the right half

    void take(int from, int middle, int to, int added) {
      for (int i = from; i < to; i++) {
        numbers.count(starts[order[i]], starts[order[i] + 1], i < middle ? left : right, added);
      }
    }

    /** What each term gains, in bits, by one document that has it in the right half instead of the left. */
    void weigh() {
      for (int term = 0; term < terms; term++) {
        int l = left[term];
        int r = right[term];
        leftGains[term] = l == 0 ? 0 : step(l - 1) - step(r);
        rightGains[term] = r == 0 ? 0 : step(l) - step(r - 1);
      }
    }
  }

  private static final float[] STEPS = new float[1 << 12];

  static {
    for (int d = 0; d < STEPS.length; d++) {
      STEPS[d] = computedStep(d);
    }
  }

  private static float step(int d) {
    return d < STEPS.length ? STEPS[d] : computedStep(d);
  }

  /** What a term of frequency d saves, in bits, by one document more: -(d + 1) log2(d + 2) + d log2(d + 1). */
  private static float computedStep(int d) {
    return (float) ((d * Math.log(d + 1.0) - (d + 1.0) * Math.log(d + 2.0)) / Math.log(2));
  }

  private final ThreadLocal<Counts> counts = ThreadLocal.withInitial(Counts::new);

  private final class Halving extends RecursiveAction {
    private static final long serialVersionUID = 1;

    private final int from;
    private final int to;

    Halving(int from, int to) {
      this.from = from;
      this.to = to;
    }

    @Override
    protected void compute() {
      if (to - from <= SMALLEST) {
        return;
      }
      int middle = (from + to) >>> 1;
      halve(middle);
      Halving left = new Halving(from, middle);
      Halving right = new Halving(middle, to);
      if (to - from > ALONE) {
        invokeAll(left, right);
      } else {
        left.compute();
        right.compute();
      }
    }

    private void halve(int middle) {
      // While a large range waits for its parts, its thread may take up another: counts of its own.
      Counts of = to - from > ALONE ? new Counts() : counts.get();
      of.take(from, middle, to, 1);
      for (int round = 0; round < ROUNDS; round++) {
        of.weigh();
        bias(middle, of);
        if (exchange(middle, of) <= (to - from) >> 10) {
          break;
        }
      }
      of.take(from, middle, to, -1);
    }

    private void bias(int middle, Counts of) {
      if (to - from <= ALONE) {
        bias(middle, of, from, to);
      } else {
        IntStream.range(0, (to - from) / 1024 + 1)
            .parallel()
            .forEach(part -> bias(middle, of, from + part * 1024, Math.min(to, from + (part + 1) * 1024)));
      }
    }

    private void bias(int middle, Counts of, int first, int end) {
      for (int i = first; i < end; i++) {
        float[] gains = i < middle ? of.leftGains : of.rightGains;
        biases[order[i]] = numbers.sum(starts[order[i]], starts[order[i] + 1], gains);
      }
    }

    /** Gives the left half the documents of least bias; says how many changed sides. */
    private int exchange(int middle, Counts of) {
      float leftMost = Float.NEGATIVE_INFINITY;
      float rightLeast = Float.POSITIVE_INFINITY;
      for (int i = from; i < middle; i++) {
        leftMost = Math.max(leftMost, biases[order[i]]);
      }
      for (int i = middle; i < to; i++) {
        rightLeast = Math.min(rightLeast, biases[order[i]]);
      }
      if (leftMost <= rightLeast) {
        return 0;
      }
      Exchange exchange = new Exchange(middle, of);
      exchange.select(from, to, middle);
      return exchange.moved;
    }

    /** Selection that notes which documents change sides. */
    private final class Exchange extends IntroSelector {
      private final int middle;
      private final Counts of;
      private int moved;
      private int pivot;

      Exchange(int middle, Counts of) {
        this.middle = middle;
        this.of = of;
      }

      @Override
      protected void setPivot(int i) {
        pivot = order[i];
      }

      @Override
      protected int comparePivot(int i) {
        int compared = Float.compare(biases[pivot], biases[order[i]]);
        return compared != 0 ? compared : Integer.compare(pivot, order[i]);
      }

      @Override
      protected void swap(int i, int j) {
        int first = order[i];
        int second = order[j];
        order[i] = second;
        order[j] = first;
        if (i < middle != j < middle) {
          int[] ofFirst = i < middle ? of.left : of.right; // where the first one stood, and the second goes
          int[] ofSecond = i < middle ? of.right : of.left;
          numbers.count(starts[first], starts[first + 1], ofFirst, -1);
          numbers.count(starts[first], starts[first + 1], ofSecond, 1);
          numbers.count(starts[second], starts[second + 1], ofSecond, -1);
          numbers.count(starts[second], starts[second + 1], ofFirst, 1);
          moved += 2;
        }
      }
    }
  }
}
