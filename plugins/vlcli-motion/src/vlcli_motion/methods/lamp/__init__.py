"""LaMP: language-motion pretraining for retrieval, generation and captioning of human motion."""
