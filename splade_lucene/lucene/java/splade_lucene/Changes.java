package splade_lucene;

import io.anserini.index.Constants;
import java.io.Closeable;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.lucene.index.BinaryDocValues;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.Term;
import org.apache.lucene.search.DocIdSetIterator;
import org.apache.lucene.util.BytesRef;
import org.apache.lucene.util.BytesRefHash;

/** What an index had when this was made, and which doc_ids were handed over and removed since. One thread calls it. */
final class Changes implements Closeable {
  private final IndexWriter writer;
  private final DirectoryReader view;
  private final BytesRefHash given = new BytesRefHash();
  private final BytesRefHash removed = new BytesRefHash();

  Changes(IndexWriter writer) throws IOException {
    this.writer = writer;
    view = DirectoryReader.open(writer);
  }

  @Override
  public void close() throws IOException {
    view.close();
  }

  /** As {@link ImpactWriter#repeated}. */
  byte[] repeated(byte[] ids) {
    for (BytesRef id : Packed.strings(ids)) {
      if (given.add(id) < 0) {
        return Packed.pack(List.of(id));
      }
    }
    return Packed.pack(List.of());
  }

  /** As {@link ImpactWriter#present}. */
  byte[] present(byte[] ids, boolean passages) throws IOException {
    DocFilter filter = passages ? DocFilter.ofPassages(view, ids) : DocFilter.ofIds(view, ids);
    List<BytesRef> found = new ArrayList<>(filter.size());
    for (LeafReaderContext leaf : view.leaves()) {
      BinaryDocValues names = leaf.reader().getBinaryDocValues(Constants.ID);
      DocIdSetIterator each = filter.iterator(leaf);
      for (int doc = each.nextDoc(); doc != DocIdSetIterator.NO_MORE_DOCS; doc = each.nextDoc()) {
        if (!names.advanceExact(doc)) {
          throw new IllegalStateException("document " + (leaf.docBase + doc) + " has no doc values in field id");
        }
        found.add(BytesRef.deepCopyOf(names.binaryValue()));
      }
    }
    return Packed.pack(found);
  }

  /** As {@link ImpactWriter#remove}. */
  int remove(byte[] ids) throws IOException {
    List<Term> terms = new ArrayList<>();
    for (BytesRef id : Packed.strings(ids)) {
      if (removed.add(id) >= 0) { // once: by now there may be a new document of this name
        terms.add(new Term(Constants.ID, id));
      }
    }
    writer.deleteDocuments(terms.toArray(new Term[0]));
    return terms.size();
  }
}
