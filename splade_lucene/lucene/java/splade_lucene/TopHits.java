package splade_lucene;

import org.apache.lucene.util.Bits;
import org.apache.lucene.util.IntroSelector;
import org.apache.lucene.util.IntroSorter;

/**
 * The k best documents of a query, in the one order: score descending, then doc_id ascending as bytes.
 *
 * <p>Candidates are put down as they come. When there is no room for another, the k best are selected, and the worst of
 * these says what a later one must score: less work than a heap, through which each candidate sinks.
 */
final class TopHits {
  private static final int LEAST_ROOM = 64;

  private final int k;
  private final int[] ranks;
  private final long[] scores;
  private final int[] documents;
  private int size;
  private int selected; // the first so many are the best k, the worst of them last
  private long bar = 1; // what a document must score at least to matter
  private long pivotScore;
  private int pivotDocument;

  /** @param ranks the place of each document's doc_id in byte order */
  TopHits(int k, int[] ranks) {
    this.k = Math.min(k, ranks.length);
    this.ranks = ranks;
    int room = (int) Math.min(Math.max(2L * k, LEAST_ROOM), ranks.length);
    scores = new long[room];
    documents = new int[room];
  }

  /** Looks at the scores of n documents from docBase on; 0 is no hit. */
  void collect(long[] found, int n, int docBase, Bits live, int liveBase) {
    for (int i = 0; i < n; i++) {
      if (found[i] >= bar && (live == null || live.get(liveBase + i))) {
        put(docBase + i, found[i]);
      }
    }
  }

  /** Looks at what was found in another part of the documents. */
  void collect(TopHits other) {
    for (int i = 0; i < other.size; i++) {
      if (other.scores[i] >= bar) {
        put(other.documents[i], other.scores[i]);
      }
    }
  }

  /** Looks at one document. */
  void offer(int document, long score) {
    if (score >= bar) {
      put(document, score);
    }
  }

  /** Brings the bar up to date, or nearly: where few came since it was set, it is left as it is. */
  void tighten() {
    if (size >= k && (selected < k || size - k >= k >> 4)) {
      keepBest();
    }
  }

  private void put(int document, long score) {
    if (size == scores.length) {
      keepBest();
    }
    scores[size] = score;
    documents[size++] = document;
  }

  /** Keeps the k best, in any order. */
  void keepBest() {
    if (size >= k && size > selected) {
      new Selector().select(0, size, k - 1);
      size = k;
      selected = k;
      bar = Math.max(bar, scores[k - 1]);
    }
  }

  /** What a document must score at least to be among the k best of those seen so far. */
  long bar() {
    return bar;
  }

  /** Says that k documents are known to score so much at least. */
  void raise(long known) {
    bar = Math.max(bar, known);
  }

  int capacity() {
    return k;
  }

  int size() {
    return size;
  }

  /** Keeps the k best, best first; to be called when all documents have been looked at. */
  void sort() {
    keepBest();
    new Sorter().sort(0, size);
  }

  void copyTo(int[] bestDocuments, long[] bestScores, int start) {
    System.arraycopy(documents, 0, bestDocuments, start, size);
    System.arraycopy(scores, 0, bestScores, start, size);
  }

  private void setPivot(int i) {
    pivotScore = scores[i];
    pivotDocument = documents[i];
  }

  /** Negative where the pivot is better than hit i, positive where it is worse. */
  private int comparePivot(int i) {
    return pivotScore != scores[i]
        ? Long.compare(scores[i], pivotScore)
        : Integer.compare(ranks[pivotDocument], ranks[documents[i]]);
  }

  private void swap(int i, int j) {
    long score = scores[i];
    scores[i] = scores[j];
    scores[j] = score;
    int document = documents[i];
    documents[i] = documents[j];
    documents[j] = document;
  }

  private final class Selector extends IntroSelector {
    @Override
    protected void setPivot(int i) {
      TopHits.this.setPivot(i);
    }

    @Override
    protected int comparePivot(int i) {
      return TopHits.this.comparePivot(i);
    }

    @Override
    protected void swap(int i, int j) {
      TopHits.this.swap(i, j);
    }
  }

  private final class Sorter extends IntroSorter {
    @Override
    protected void setPivot(int i) {
      TopHits.this.setPivot(i);
    }

    @Override
    protected int comparePivot(int i) {
      return TopHits.this.comparePivot(i);
    }

    @Override
    protected void swap(int i, int j) {
      TopHits.this.swap(i, j);
    }
  }
}
