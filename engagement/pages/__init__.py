"""The portal's pages, rendered by Django for people who sign in with a session. Their script makes them live."""
