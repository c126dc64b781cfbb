package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.ReaderUtil;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.util.Bits;
import org.apache.lucene.util.BytesRef;
import org.apache.lucene.util.IOUtils;

/** Answers queries on an open index: spreads them, or the parts of one, over threads. Safe for any number of these. */
final class Searcher {
  private final DirectoryReader reader;
  private final Blocks[] blocks; // of each segment, or null
  private final int[] ranks;
  private final ExecutorService workers;
  private final Queue<WindowScorer> windowScorers = new ConcurrentLinkedQueue<>();
  private final Queue<FirstPassScorer> firstPassScorers = new ConcurrentLinkedQueue<>();
  private final List<Queue<BlockScorer>> blockScorers = new ArrayList<>();
  private final boolean hasFirstPass; // in all segments: candidates of one cannot be compared with those of another

  /** @param ranks the place of each document's doc_id in byte order */
  Searcher(DirectoryReader reader, Blocks[] blocks, int[] ranks, ExecutorService workers) {
    this.reader = reader;
    this.workers = workers;
    this.blocks = blocks;
    this.ranks = ranks;
    hasFirstPass = Arrays.stream(blocks).allMatch(each -> each != null && each.hasFirstPass());
    for (int i = 0; i < blocks.length; i++) {
      blockScorers.add(new ConcurrentLinkedQueue<>());
    }
  }

  /** Queries in one array, CSR; a term stands in a query once. */
  record Queries(BytesRef[] terms, int[] impacts, int[] indptr) {
    int size() {
      return indptr.length - 1;
    }

    /** Of each query the terms of highest impact, of equals the first in byte order. */
    Queries best(int most) {
      List<BytesRef> bestTerms = new ArrayList<>();
      int[] bestImpacts = new int[impacts.length];
      int[] starts = new int[indptr.length];
      int n = 0;
      for (int query = 0; query < size(); query++) {
        Integer[] order = new Integer[indptr[query + 1] - indptr[query]];
        int start = indptr[query];
        Arrays.setAll(order, i -> start + i);
        Arrays.sort(
            order, Comparator.<Integer>comparingInt(at -> -impacts[at]).thenComparing(at -> terms[at]));
        for (int i = 0; i < Math.min(most, order.length); i++) {
          bestTerms.add(terms[order[i]]);
          bestImpacts[n++] = impacts[order[i]];
        }
        starts[query + 1] = n;
      }
      return new Queries(bestTerms.toArray(BytesRef[]::new), Arrays.copyOf(bestImpacts, n), starts);
    }
  }

  /** What was found for a query, and what it took. */
  record Answer(TopHits top, long postingsRead, boolean cut) {}

  /**
   * The answers to all queries.
   *
   * @param filter documents that may be found, or null
   * @param parts into which each query's documents are divided, for threads to share
   * @param job ends the work early, with null for each query that is left, when it is cancelled; or null
   */
  Answer[] search(Queries queries, int k, SearchOptions options, DocFilter filter, int parts, int threads, Job job)
      throws IOException {
    boolean twoSteps = options.firstPassTerms() > 0;
    Queries asked = twoSteps ? queries.best(options.firstPassTerms()) : queries;
    int wanted = Math.min(twoSteps ? Math.max(k, options.rescore()) : k, reader.maxDoc());
    Search[] searches = new Search[queries.size() * parts];
    AtomicInteger next = new AtomicInteger();
    for (int query = 0; query < queries.size(); query++) {
      AtomicLong bar = parts > 1 ? new AtomicLong() : null;
      for (int part = 0; part < parts; part++) {
        searches[query * parts + part] = new Search(asked, query, new TopHits(wanted, ranks), bar, options);
      }
    }
    Answer[] answers = new Answer[queries.size()];
    AtomicInteger[] left = new AtomicInteger[queries.size()];
    Arrays.setAll(left, query -> new AtomicInteger(parts));
    AtomicBoolean failed = new AtomicBoolean();
    inParallel(
        Math.min(threads, searches.length),
        failed,
        () -> {
          for (int i = next.getAndIncrement(); i < searches.length && !failed.get(); i = next.getAndIncrement()) {
            if (job != null && job.isCancelled()) {
              return;
            }
            int query = i / parts;
            search(searches[i], options, filter, i % parts, parts);
            if (left[query].decrementAndGet() == 0) {
              List<Search> done = Arrays.asList(searches).subList(query * parts, query * parts + parts);
              answers[query] = answer(done, queries, query, k, twoSteps);
              Arrays.fill(searches, query * parts, query * parts + parts, null);
            }
          }
        });
    return answers;
  }

  private interface Work {
    void run() throws IOException;
  }

  /**
   * Runs the same work on several threads, this one among them. Where it fails on one, the others are told and waited
   * for: what has filled the heap has let go of it when the caller, who does not survive a full one, hears of it.
   */
  private void inParallel(int threads, AtomicBoolean failed, Work work) throws IOException {
    List<Future<?>> others = new ArrayList<>();
    Throwable first = null;
    try {
      for (int i = 1; i < threads; i++) {
        others.add(
            workers.submit(
                () -> {
                  try {
                    work.run();
                  } catch (Throwable e) {
                    failed.set(true);
                    throw e;
                  }
                  return null;
                }));
      }
      work.run();
    } catch (Throwable e) {
      failed.set(true);
      first = e;
    }
    for (Future<?> other : others) {
      try {
        other.get();
      } catch (ExecutionException e) {
        first = first == null ? e.getCause() : first;
      } catch (InterruptedException e) {
        first = first == null ? e : first;
      }
    }
    if (first != null) {
      throw IOUtils.rethrowAlways(first);
    }
  }

  private void search(Search search, SearchOptions options, DocFilter filter, int part, int parts) throws IOException {
    if (search.top.capacity() == 0 || search.from == search.to) {
      return;
    }
    search.start();
    boolean firstPass =
        hasFirstPass && options.firstPassTerms() > 0 && options.skip() && FirstPassScorer.takes(search);
    for (LeafReaderContext leaf : reader.leaves()) {
      Bits live = leaf.reader().getLiveDocs();
      search.accepted = filter == null ? live : filter.accepted(leaf);
      if (firstPass) {
        searchFirstPass(leaf, search, part, parts);
      } else if (!options.skip() || blocks[leaf.ord] == null || !searchBlocks(leaf, search, part, parts)) {
        WindowScorer scorer = windowScorers.poll();
        scorer = scorer != null ? scorer : new WindowScorer();
        scorer.search(leaf, search, part, parts);
        windowScorers.add(scorer);
      }
    }
  }

  private void searchFirstPass(LeafReaderContext leaf, Search search, int part, int parts) throws IOException {
    FirstPassScorer scorer = firstPassScorers.poll();
    scorer = scorer != null ? scorer : new FirstPassScorer();
    scorer.search(leaf, blocks[leaf.ord], search, part, parts);
    firstPassScorers.add(scorer);
  }

  private boolean searchBlocks(LeafReaderContext leaf, Search search, int part, int parts) throws IOException {
    BlockScorer scorer = blockScorers.get(leaf.ord).poll();
    scorer = scorer != null ? scorer : new BlockScorer(leaf, blocks[leaf.ord]);
    boolean searched = scorer.search(search, part, parts);
    blockScorers.get(leaf.ord).add(scorer);
    return searched;
  }

  /** Puts the parts of a search together, and scores what a first pass found by all of the query's terms. */
  private Answer answer(List<Search> parts, Queries queries, int query, int k, boolean rescored) throws IOException {
    TopHits top = parts.getFirst().top;
    long read = parts.getFirst().postingsRead;
    boolean cut = parts.getFirst().cut();
    for (Search other : parts.subList(1, parts.size())) {
      top.collect(other.top);
      read += other.postingsRead;
      cut |= other.cut();
    }
    if (rescored) {
      Rescorer rescorer = new Rescorer(queries, query);
      TopHits best = new TopHits(k, ranks);
      rescorer.rescore(top, best);
      best.sort();
      return new Answer(best, read + rescorer.postingsRead, cut);
    }
    top.sort();
    return new Answer(top, read, cut);
  }

  /** Scores single documents for one query: from their vectors, or from the posting lists where there are none. */
  private final class Rescorer {
    private final Queries queries;
    private final int from;
    private final int to;
    private long postingsRead;

    Rescorer(Queries queries, int query) {
      this.queries = queries;
      from = queries.indptr[query];
      to = queries.indptr[query + 1];
    }

    void rescore(TopHits found, TopHits best) throws IOException {
      found.keepBest();
      int[] documents = new int[found.size()];
      found.copyTo(documents, new long[found.size()], 0);
      Arrays.sort(documents);
      for (int i = 0; i < documents.length; ) {
        LeafReaderContext leaf = reader.leaves().get(ReaderUtil.subIndex(documents[i], reader.leaves()));
        int end = leaf.docBase + leaf.reader().maxDoc();
        int j = i;
        while (j < documents.length && documents[j] < end) {
          j++;
        }
        int[] some = Arrays.copyOfRange(documents, i, j);
        long[] scores = blocks[leaf.ord] != null ? byVector(leaf, some) : byPostings(leaf, some);
        for (int each = 0; each < some.length; each++) {
          best.offer(some[each], scores[each]);
        }
        i = j;
      }
    }

    private long[] byVector(LeafReaderContext leaf, int[] documents) throws IOException {
      Blocks of = blocks[leaf.ord];
      int[] weights = new int[of.terms()];
      for (int i = from; i < to; i++) {
        int term = of.find(queries.terms[i]);
        if (term >= 0) {
          weights[term] = queries.impacts[i];
        }
      }
      Blocks.Vectors vectors = of.new Vectors();
      long[] scores = new long[documents.length];
      for (int i = 0; i < documents.length; i++) {
        postingsRead += vectors.load(documents[i] - leaf.docBase);
        scores[i] = vectors.dot(weights);
      }
      return scores;
    }

    private long[] byPostings(LeafReaderContext leaf, int[] documents) throws IOException {
      long[] scores = new long[documents.length];
      Terms dictionary = leaf.reader().terms(Constants.CONTENTS);
      TermsEnum each = dictionary == null ? TermsEnum.EMPTY : dictionary.iterator();
      PostingsEnum list = null;
      for (int i = from; i < to; i++) {
        if (each.seekExact(queries.terms[i])) {
          list = each.postings(list, PostingsEnum.FREQS);
          for (int j = 0; j < documents.length; j++) {
            int document = documents[j] - leaf.docBase;
            if (list.docID() < document) {
              list.advance(document);
            }
            if (list.docID() == document) {
              scores[j] += (long) queries.impacts[i] * list.freq();
              postingsRead++;
            }
          }
        }
      }
      return scores;
    }
  }
}
