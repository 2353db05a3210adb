mod notifiers;
